package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Each row is an invalid file and the expected error of Parse.
var badFiles = []struct{ name, file, want string }{
	{"syntax", "[api]\nlisten = ", `line 2: expected value, not end of input`},
	{"duplicate", "[log]\nlevel = \"info\"\nlevel = \"warn\"", `line 3: key level is already defined`},
	{"control character", "state_dir = \"/a\x01b\"", `line 1: basic strings cannot have control characters`},
	{"NUL", "[log]\n\x00", `line 2: invalid character at start of key: U+0000`},
	{"UTF-16", "\xff\xfe[\x00l\x00", `line 1: invalid character at start of key: U+00FF 'ÿ'`},
	{"not UTF-8", "state_dir = \"/a\xff\"", `line 1: invalid UTF-8 character in basic string`},
	{"open array", "[nexus]\naddresses = [[[", `line 2: array is incomplete`},
	{"nested arrays", "[nexus]\naddresses = " + strings.Repeat("[", 20_000), `line 2: arrays and inline tables are nested more than the maximum of 10000 levels deep`},
	{"long dotted key", "log." + strings.Repeat("a.", 8000) + "a = 1", `log.a: unknown key; [log] has level, format`},
	{"long table", "[log." + strings.Repeat("a.", 8000) + "a]", `log.a: unknown key; [log] has level, format`},

	{"unknown key", "[watchdog]\nstop_gracee = \"1m\"", `watchdog.stop_gracee: unknown key; [watchdog] has stop_grace, max_stop_grace, start_timeout, reboot_timeout, evidence_budget`},
	{"unknown key, other case", "[watchdog]\nStop_Grace = \"1m\"", `watchdog.Stop_Grace: unknown key; [watchdog] has stop_grace, max_stop_grace, start_timeout, reboot_timeout, evidence_budget`},
	{"unknown table", "[watch]\nstop_grace = \"1m\"", `watch: unknown key; the file has state_dir, sled_id, [api], [admin], [metrics], [log], [nexus], [propolis], [watchdog], [evidence], [zones], [vmm_reservoir]`},
	{"unknown subtable", "[zones.linux]", `zones.linux: unknown key; [zones] has backend, prefix, orphans, max_tasks, [process], [illumos]`},
	{"unknown quoted key", "\"log.level\" = \"info\"", `"log.level": unknown key; the file has state_dir, sled_id, [api], [admin], [metrics], [log], [nexus], [propolis], [watchdog], [evidence], [zones], [vmm_reservoir]`},
	{"unknown key of two lines", "\"a\\nb\" = 1", `"a\nb": unknown key; the file has state_dir, sled_id, [api], [admin], [metrics], [log], [nexus], [propolis], [watchdog], [evidence], [zones], [vmm_reservoir]`},
	{"value for table", "api = \"[::1]:1\"", `api: want a table, [api], got a string`},
	{"array for table", "[[log]]\nlevel = \"info\"", `log: want a table, [log], got an array of tables`},
	{"table for value", "[api.listen]", `api.listen: want a string such as "[::1]:12345", got a table`},
	{"integer for duration", "[watchdog]\nstop_grace = 600", `watchdog.stop_grace: want a string such as "10m", got an integer`},
	{"date for string", "state_dir = 2020-01-01", `state_dir: want a string such as "/var/lib/sled-agent", got a date or time`},
	{"boolean for string", "[admin]\nmetrics = true", `admin.metrics: want a string, got a boolean`},
	{"string for array", "[nexus]\naddresses = \"http://a\"", `nexus.addresses: want an array such as ["http://[::1]:12221"], got a string`},
	{"float in array", "[nexus]\naddresses = [1.5]", `nexus.addresses: item 1: want a string, got a float`},
	{"array in array", "[nexus]\naddresses = [\"http://a\", [[]]]", `nexus.addresses: item 2: want a string, got an array`},
	{"tables for array", "[[nexus.addresses]]", `nexus.addresses: item 1: want a string, got a table`},

	{"relative state_dir", "state_dir = \"sled\"", `state_dir: "sled" is not an absolute path; it would depend on where the agent is started`},
	{"empty state_dir", "state_dir = \"\"", `state_dir: must not be empty`},
	{"state_dir with newline", "state_dir = \"/a\\nb\"", `state_dir: "/a\nb" holds a control character`},
	{"state_dir too long for the socket", "state_dir = \"/" + strings.Repeat("d", 92) + "\"", `state_dir: the admin socket in it would have a path of 104 bytes, at most 103 are possible; set admin.socket to a shorter path`},
	{"sled_id", "sled_id = \"sled-1\"", `sled_id: "sled-1" is not a UUID`},
	{"sled_id as URN", "sled_id = \"urn:uuid:5bb1ae42-1c3f-4a52-9d0e-0f4f6c7a8b90\"", `sled_id: "urn:uuid:5bb1ae42-1c3f-4a52-9d0e-0f4f6c7a8b90" is not a UUID`},
	{"nil sled_id", "sled_id = \"00000000-0000-0000-0000-000000000000\"", `sled_id: the nil UUID identifies no sled; leave the key out to have an id made`},

	{"listen on a name", "[api]\nlisten = \"localhost:1\"", `api.listen: "localhost:1" is not an IP address and port; write for example "[::1]:12345"`},
	{"listen without port", "[api]\nlisten = \"::1\"", `api.listen: "::1" is not an IP address and port; write for example "[::1]:12345"`},
	{"listen on port 65536", "[api]\nlisten = \"[::1]:65536\"", `api.listen: "[::1]:65536" is not an IP address and port; write for example "[::1]:12345"`},
	{"relative socket", "[admin]\nsocket = \"admin.sock\"", `admin.socket: "admin.sock" is not an absolute path; it would depend on where the agent is started`},
	{"long socket", "[admin]\nsocket = \"/" + strings.Repeat("s", 103) + "\"", `admin.socket: 104 bytes long, but a socket's path has at most 103`},
	{"metrics without host", "[admin]\nmetrics = \":9100\"", `admin.metrics: ":9100" has no valid host; for all addresses of this host write "[::]:9100"`},
	{"metrics without port", "[admin]\nmetrics = \"localhost\"", `admin.metrics: "localhost" is not host:port; write for example "[::1]:9100"`},
	{"metrics on a named port", "[admin]\nmetrics = \"localhost:http\"", `admin.metrics: "localhost:http" has no valid port`},
	{"relative web_config", "[metrics]\nweb_config = \"web.yml\"", `metrics.web_config: "web.yml" is not an absolute path; it would depend on where the agent is started`},
	{"command without words", "[evidence]\ncommands = [[]]", `evidence.commands: item 1: names no program`},
	{"command that is no array", "[evidence]\ncommands = [\"pstack {pid}\"]", `evidence.commands: item 1: want an array such as ["pstack", "{pid}"], got a string`},
	{"command with a number", "[evidence]\ncommands = [[\"true\"], [\"pstack\", 1]]", `evidence.commands: item 2: item 2: want a string, got an integer`},
	{"command with an unknown placeholder", "[evidence]\ncommands = [[\"pstack\", \"{PID} {uid}\"]]", `evidence.commands: item 1: "{uid}" is not one of {pid}, {zone}, {id}`},
	{"program with a placeholder", "[evidence]\ncommands = [[\"{zone}\"]]", `evidence.commands: item 1: program "{zone}" has a placeholder`},
	{"relative command", "[evidence]\ncommands = [[\"./pstack\"]]", `evidence.commands: item 1: program "./pstack" is neither an absolute path nor a bare name`},
	{"many commands", "[evidence]\ncommands = [" + strings.Repeat("[\"true\"],", 17) + "]", `evidence.commands: 17 commands, at most 16 are possible`},
	{"evidence without room", "[evidence]\nmax_size = \"\"", `evidence.max_size: "" is not a size; write for example "64GiB" (MiB, GiB or TiB)`},
	{"log level", "[log]\nlevel = \"INFO\"", `log.level: "INFO" is not one of trace, debug, info, warn, error`},
	{"log format", "[log]\nformat = \"text\"", `log.format: "text" is not one of json, console, bunyan`},

	{"nexus without scheme", "[nexus]\naddresses = [\"[::1]:12221\"]", `nexus.addresses: "[::1]:12221" is not an http or https URL; write for example "http://[::1]:12221"`},
	{"nexus by ftp", "[nexus]\naddresses = [\"ftp://a\"]", `nexus.addresses: "ftp://a" is not an http or https URL; write for example "http://[::1]:12221"`},
	{"nexus with path", "[nexus]\naddresses = [\"http://a/v1\"]", `nexus.addresses: "http://a/v1" has more than a host and a port`},
	{"nexus with query", "[nexus]\naddresses = [\"http://a?\"]", `nexus.addresses: "http://a?" has more than a host and a port`},
	{"nexus with fragment", "[nexus]\naddresses = [\"http://a#\"]", `nexus.addresses: "http://a#" has more than a host and a port`},
	{"nexus with user", "[nexus]\naddresses = [\"http://u:p@a\"]", `nexus.addresses: a URL must not hold a user name or password`},
	{"nexus without host", "[nexus]\naddresses = [\"http://:80\"]", `nexus.addresses: "http://:80" has no valid host`},
	{"nexus with bare IPv6", "[nexus]\naddresses = [\"http://::1:80\"]", `nexus.addresses: "http://::1:80" is not an http or https URL; write for example "http://[::1]:12221"`},
	{"nexus on port 0", "[nexus]\naddresses = [\"http://a:0\"]", `nexus.addresses: "http://a:0" has no valid port`},
	{"nexus with colon", "[nexus]\naddresses = [\"http://a:\"]", `nexus.addresses: "http://a:" has no valid port`},
	{"half of api.tls", "[api]\nclients = [{name = \"n\", role = \"read\"}]\n[api.tls]\ncert = \"/c\"\nkey = \"/k\"", `api.tls.client_ca: is missing; [api.tls] needs cert, key and client_ca`},
	{"relative cert", "[api.tls]\ncert = \"c\"", `api.tls.cert: "c" is not an absolute path; it would depend on where the agent is started`},
	{"tls without clients", "[api.tls]\ncert = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"", `api.clients: is empty: with [api.tls] every request would be refused`},
	{"clients without tls", "[[api.clients]]\nname = \"n\"\nrole = \"read\"", `api.clients: needs [api.tls]: without TLS it is not known who a client is`},
	{"unknown role", "[[api.clients]]\nname = \"n\"\nrole = \"admin\"", `api.clients: item 1: role: "admin" is not one of read, stop-only, operate`},
	{"client without role", "[[api.clients]]\nname = \"n\"", `api.clients: item 1: role: "" is not one of read, stop-only, operate`},
	{"client without name", "[[api.clients]]\nrole = \"read\"", `api.clients: item 1: name: must not be empty`},
	{"client twice", "[api]\nclients = [{name = \"n\", role = \"read\"}, {name = \"n\", role = \"operate\"}]", `api.clients: item 2: name "n" is there twice`},
	{"client with more", "[[api.clients]]\nname = \"n\"\nrolle = \"read\"", `api.clients: item 1: unknown key "rolle"; a client has name, role`},
	{"client with a number", "[[api.clients]]\nname = 1", `api.clients: item 1: name: want a string, got an integer`},
	{"client as text", "[api]\nclients = [\"n\"]", `api.clients: item 1: want a table such as {name = "nexus", role = "operate"}, got a string`},
	{"group", "[admin]\ngroup = \"a b\"", `admin.group: "a b" is not the name of a group`},
	{"nexus cert without key", "[nexus]\naddresses = []\n[nexus.tls]\ncert = \"/c\"", `nexus.tls.key: is missing; cert and key belong together`},
	{"nexus key without cert", "[nexus]\naddresses = []\n[nexus.tls]\nkey = \"/c\"", `nexus.tls.cert: is missing; cert and key belong together`},
	{"nexus tls over http", "[nexus.tls]\nca = \"/c\"", `nexus.addresses: "http://[::1]:12221" is not an https URL, but [nexus.tls] is set`},
	{"nexus tls by dns", "[nexus]\ndns = [\"[::1]:53\"]\n[nexus.tls]\nca = \"/c\"", `nexus.tls.server_name: is missing; with nexus.dns it is the name in Nexus's certificate`},
	{"server name", "[nexus.tls]\nserver_name = \"[::1]\"", `nexus.tls.server_name: "[::1]" is not a DNS name`},
	{"dns without port", "[nexus]\ndns = [\"fd00::1\"]", `nexus.dns: "fd00::1" is not an IP address and port; write for example "[fd00::1]:53"`},
	{"dns on port 0", "[nexus]\ndns = [\"[fd00::1]:0\"]", `nexus.dns: "[fd00::1]:0" is not an IP address and port; write for example "[fd00::1]:53"`},
	{"dns everywhere", "[nexus]\ndns = [\"[::]:53\"]", `nexus.dns: "[::]:53" is not an IP address and port; write for example "[fd00::1]:53"`},
	{"dns by name", "[nexus]\ndns = [\"dns:53\"]", `nexus.dns: "dns:53" is not an IP address and port; write for example "[fd00::1]:53"`},
	{"too many for dns", "[nexus]\ndns = [" + strings.Repeat("\"[::1]:53\", ", 9) + "]", `nexus.dns: has 9 items, at most 8 are possible`},
	{"retry_initial", "[nexus]\nretry_initial = \"1m\"", `nexus.retry_initial: 1m is longer than nexus.retry_max, 30s`},
	{"retry too short", "[nexus]\nretry_initial = \"1ns\"", `nexus.retry_initial: "1ns" is shorter than 1ms`},

	{"api_version", "[propolis]\napi_version = \"6\"", `propolis.api_version: "6" is not a full semantic version; write for example "6.0.0"`},
	{"api_version with v", "[propolis]\napi_version = \"v6.0.0\"", `propolis.api_version: "v6.0.0" is not a full semantic version; write for example "6.0.0"`},
	{"api_version with zero", "[propolis]\napi_version = \"06.0.0\"", `propolis.api_version: "06.0.0" is not a full semantic version; write for example "6.0.0"`},
	{"duration", "[watchdog]\nstop_grace = \"10x\"", `watchdog.stop_grace: "10x" is not a duration; write for example "10m"`},
	{"zero duration", "[watchdog]\nstart_timeout = \"0s\"", `watchdog.start_timeout: "0s" is not longer than zero`},
	{"negative duration", "[propolis]\ngone_after = \"-1s\"", `propolis.gone_after: "-1s" is not longer than zero`},
	{"endless duration", "[nexus]\ngive_up_after = \"8761h\"", `nexus.give_up_after: "8761h" is longer than a year, 8760h`},
	{"overflowing duration", "[nexus]\ngive_up_after = \"9999999h\"", `nexus.give_up_after: "9999999h" is not a duration; write for example "10m"`},
	{"grace beyond its maximum", "[watchdog]\nstop_grace = \"2h\"", `watchdog.stop_grace: 2h is longer than watchdog.max_stop_grace, 1h`},

	{"reservoir size", "[vmm_reservoir]\nsize = \"64GB\"", `vmm_reservoir.size: "64GB" is not a size; write for example "64GiB" (MiB, GiB or TiB)`},
	{"reservoir size too large", "[vmm_reservoir]\nsize = \"99999999TiB\"", `vmm_reservoir.size: "99999999TiB" is not a size; write for example "64GiB" (MiB, GiB or TiB)`},
	{"reservoir percent", "[vmm_reservoir]\npercent = 100", `vmm_reservoir.percent: 100 is not within 0 and 99`},
	{"reservoir percent kind", "[vmm_reservoir]\npercent = \"50\"", `vmm_reservoir.percent: want an integer such as 0, got a string`},
	{"backend", "[zones]\nbackend = \"docker\"", `zones.backend: "docker" is not one of auto, illumos, process`},
	{"empty prefix", "[zones]\nprefix = \"\"", `zones.prefix: must not be empty: it tells the agent's zones from others`},
	{"long prefix", "[zones]\nprefix = \"oxz_propolis-server_1234567_\"", `zones.prefix: "oxz_propolis-server_1234567_" has 28 characters, at most 27 leave room for a Propolis id in a zone's name`},
	{"prefix alphabet", "[zones]\nprefix = \"oxz/\"", `zones.prefix: "oxz/" does not begin a zone name: want a letter or digit, then letters, digits, '-', '_' and '.'`},
	{"prefix start", "[zones]\nprefix = \"_oxz\"", `zones.prefix: "_oxz" does not begin a zone name: want a letter or digit, then letters, digits, '-', '_' and '.'`},
	{"reserved prefix", "[zones]\nprefix = \"SUNWoxz\"", `zones.prefix: "SUNWoxz" begins with SUNW, which is reserved`},
	{"empty argv", "[zones.process]\npropolis = []", `zones.process.propolis: names no program`},
	{"empty argv[0]", "[zones.process]\npropolis = [\"\"]", `zones.process.propolis: names no program`},
	{"relative argv[0]", "[zones.process]\npropolis = [\"./sim\"]", `zones.process.propolis: program "./sim" is neither an absolute path nor a bare name`},
	{"NUL in argv", "[zones.process]\npropolis = [\"sim\", \"a\\u0000b\"]", `zones.process.propolis: argument "a\x00b" is not text`},

	{"empty command_path", "[zones.illumos]\ncommand_path = \"\"", `zones.illumos.command_path: "" is not a list of absolute directories separated by ':'`},
	{"relative command_path", "[zones.illumos]\ncommand_path = \"/bin:bin\"", `zones.illumos.command_path: "/bin:bin" is not a list of absolute directories separated by ':'`},
	{"relative vmmctl", "[zones.illumos]\nvmmctl = \"vmmctl\"", `zones.illumos.vmmctl: "vmmctl" is not an absolute path; it would depend on where the agent is started`},
	{"zone_root with space", "[zones.illumos]\nzone_root = \"/my zones\"", `zones.illumos.zone_root: "/my zones" holds a character that zoneadm would hand to a shell`},
	{"brand", "[zones.illumos]\nbrand = \"\"", `zones.illumos.brand: "" is not the name of a zone brand`},
	{"no image", "[zones.illumos]\nimage = []", `zones.illumos.image: names no image`},
	{"relative image", "[zones.illumos]\nimage = [\"/a.tar\", \"b.tar\"]", `zones.illumos.image: "b.tar" is not an absolute path; it would depend on where the agent is started`},
	{"image with shell", "[zones.illumos]\nimage = [\"/a;reboot\"]", `zones.illumos.image: "/a;reboot" holds a character that zoneadm would hand to a shell`},
	{"many images", "[zones.illumos]\nimage = [\"/" + strings.Repeat("a", 400) + "\", \"/" + strings.Repeat("b", 400) + "\"]", `zones.illumos.image: 803 bytes together, but zoneadm has room for 640`},
	{"link", "[zones.illumos]\nlink = \"underlay\"", `zones.illumos.link: "underlay" is not the name of a datalink: want a letter, at most 31 characters, a digit at the end`},
	{"service", "[zones.illumos]\nservice = \"propolis-server\"", `zones.illumos.service: "propolis-server" is not a service instance; write for example "svc:/system/illumos/propolis-server:default"`},
	{"gateway", "[zones.illumos]\ngateway = \"fd00::1/64\"", `zones.illumos.gateway: "fd00::1/64" is not an IP address`},
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for _, bad := range badFiles {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			c, err := Parse("sled.toml", []byte(bad.file))
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			if want := "sled.toml: " + bad.want; err.Error() != want {
				t.Errorf("said  %s\nwant  %s", err, want)
			}
		})
	}
}

// All errors are reported: first unknown keys, then values in the order of keys, then
// combinations of values that are valid by themselves.
func TestReportsAllErrors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ name, file, want string }{
		{"values", `
			state_dir = "sled"
			log = { level = "loud", colour = "red" }
			nexus = { retry_max = "1s", retry_initial = "2s", addresses = 5 }
			watchdog = { stop_grace = "2h", max_stop_grace = "10x" }
			zoness = true`, `
log.colour: unknown key; [log] has level, format
zoness: unknown key; the file has state_dir, sled_id, [api], [admin], [metrics], [log], [nexus], [propolis], [watchdog], [evidence], [zones], [vmm_reservoir]
state_dir: "sled" is not an absolute path; it would depend on where the agent is started
log.level: "loud" is not one of trace, debug, info, warn, error
nexus.addresses: want an array such as ["http://[::1]:12221"], got an integer
watchdog.max_stop_grace: "10x" is not a duration; write for example "10m"
nexus.retry_initial: 2s is longer than nexus.retry_max, 1s`},
		{"relations", "admin.socket = \"/" + strings.Repeat("s", 103) + "\"\nnexus.retry_max = \"1ms\"\nwatchdog.stop_grace = \"2h\"", `
admin.socket: 104 bytes long, but a socket's path has at most 103
watchdog.stop_grace: 2h is longer than watchdog.max_stop_grace, 1h
nexus.retry_initial: 250ms is longer than nexus.retry_max, 1ms`},
	} {
		_, err := Parse("sled.toml", []byte(v.file))
		if want := strings.ReplaceAll(v.want, "\n", "\nsled.toml: ")[1:]; err == nil || err.Error() != want {
			t.Errorf("%s\nsaid  %v\nwant  %s", v.name, err, want)
		}
	}
}

func TestReportsSoManyErrors(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for i := range maxErrors + 7 {
		fmt.Fprintf(&file, "x%d = 1\n", i)
	}
	_, err := Parse("sled.toml", []byte(file.String()))
	if err == nil || strings.Count(err.Error(), "\n") != maxErrors || !strings.HasSuffix(err.Error(), "\nsled.toml: 7 more errors") {
		t.Errorf("said  %v", err)
	}
}

func TestByteOrderMark(t *testing.T) {
	t.Parallel()
	if c := parse(t, []byte("\xef\xbb\xbfstate_dir = '/srv/sled'\r\n")); c.StateDir != "/srv/sled" {
		t.Errorf("state_dir is %q", c.StateDir)
	}
}

// The cost of a hostile file is bounded by its size. The test is not parallel, since it
// measures allocations of the whole process.
func TestParseAllocatesLittle(t *testing.T) {
	parse(t, nil) // the defaults are decoded once
	for name, file := range map[string]string{
		"dotted key":        strings.Repeat("a.", 8<<10) + "a = 1",
		"longest key":       strings.Repeat("a.", maxFile/2-4) + "a = 1",
		"arrays in arrays":  "a = " + strings.Repeat("[", maxFile-4),
		"tables in tables":  "a = " + strings.Repeat("{a=", maxFile/3-2),
		"arrays":            "a = [" + strings.Repeat("[],", maxFile/3-2) + "]",
		"long table":        "[" + strings.Repeat("a.", maxFile/2-4) + "a]",
		"arrays of strings": "nexus.addresses = [" + strings.Repeat("'',", maxFile/3-8) + "]",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse("sled.toml", []byte(file))
		runtime.ReadMemStats(&after)
		if err == nil || strings.Contains(err.Error(), "larger than") {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: %d bytes of file took %d bytes of memory", name, len(file), n)
		} else {
			t.Logf("%s: %d KiB", name, n>>10)
		}
	}
}

func TestBadFileNamesItsKey(t *testing.T) {
	t.Parallel()
	_, err := Parse("sled.toml", []byte("[log]\nlevel = \"loud\""))
	var bad *Error
	if !errors.As(err, &bad) {
		t.Fatalf("err is a %T", err)
	}
	if bad.File != "sled.toml" || bad.Key != "log.level" {
		t.Errorf("File %q, Key %q", bad.File, bad.Key)
	}
}

func TestErrorIsOneLine(t *testing.T) {
	t.Parallel()
	_, err := Parse("a\nb.toml", []byte("x = 1"))
	if err == nil || !strings.HasPrefix(err.Error(), `a\u000ab.toml: x: `) {
		t.Errorf("said  %v", err)
	}
}

func TestErrorIsShort(t *testing.T) {
	t.Parallel()
	_, err := Parse("sled.toml", []byte(`state_dir = "`+strings.Repeat("d", 50_000)+`"`))
	if err == nil {
		t.Fatal("accepted")
	}
	line := err.Error()
	if len(line) > maxError+100 || !strings.HasPrefix(line, "sled.toml: state_dir: ") || !strings.HasSuffix(line, "is started") {
		t.Errorf("%d bytes: %s", len(line), line)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	absent, huge := filepath.Join(dir, "absent.toml"), filepath.Join(dir, "huge.toml")
	if err := os.WriteFile(huge, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxFile+1); err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct{ path, reason string }{
		{absent, "no such file or directory"},
		{dir, "is a directory"},
		{huge, "larger than 65536 bytes"},
	} {
		if _, err := Load(v.path); err == nil || err.Error() != v.path+": "+v.reason {
			t.Errorf("said  %v\nwant  %s: %s", err, v.path, v.reason)
		}
	}
	if _, err := Load(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file is not fs.ErrNotExist: %v", err)
	}
}

func TestLoadNeedsNoKnownKeyOrder(t *testing.T) {
	t.Parallel()
	c, err := Parse("sled.toml", []byte(`
		zones.process.propolis = ["sim"] # dotted, before the rest
		watchdog = { max_stop_grace = "2h", stop_grace = "90m" }
		state_dir = '/srv/sled'
	`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Zones.Process.Propolis[0] != "sim" || c.Watchdog.StopGrace.Minutes() != 90 || c.StateDir != "/srv/sled" {
		t.Errorf("read as %+v", c)
	}
}
