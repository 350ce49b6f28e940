package config

import (
	"bytes"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestWriteRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		want := anyConfig(t, rt)
		file := written(t, want)
		got, err := Parse("written.toml", file)
		if err != nil {
			rt.Fatalf("%v\n%s", err, file)
		}
		if diff := cmp.Diff(want, got, sameConfig); diff != "" {
			rt.Fatalf("changed by Write and Parse (-before +after):\n%s\n%s", diff, file)
		}
	})
}

func TestWriteReportsError(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	if err := parse(t, nil).Write(failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("Write = %v, want it to wrap %v", err, full)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// FuzzParse checks for any file that Parse does not panic, that each error is one line, and
// that an accepted file can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(testdata(f, "documented.toml")))
	f.Add([]byte(testdata(f, "changed.toml")))
	for _, bad := range badFiles {
		f.Add([]byte(bad.file))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.toml", data)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "fuzz.toml: ") || len(line) > 8*maxError ||
					strings.ContainsFunc(line, unicode.IsControl) {
					t.Errorf("not a good line: %q", line)
				}
			}
			return
		}
		again, err := Parse("again.toml", written(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again, sameConfig); diff != "" {
			t.Errorf("changed by Write and Parse (-before +after):\n%s", diff)
		}
	})
}

func written(t testing.TB, c *Config) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// anyConfig draws a valid Config in normal form.
func anyConfig(tb testing.TB, t *rapid.T) *Config {
	matching := func(name, expr string) string { return rapid.StringMatching(expr).Draw(t, name) }
	span := func(name string, to time.Duration) time.Duration {
		return time.Duration(rapid.Int64Range(int64(minDuration), int64(to)).Draw(t, name))
	}
	path := rapid.Map(rapid.StringMatching(`(/[ --0-~é☃]{1,9}){1,3}`), filepath.Clean)
	safePath := rapid.Map(rapid.StringMatching(`(/[A-Za-z0-9_=@%+,.-]{1,20}){1,4}`), filepath.Clean)
	c := parse(tb, nil)
	c.StateDir = path.Draw(t, "state_dir")
	c.Admin.Socket = path.Draw(t, "socket")
	if rapid.Bool().Draw(t, "has sled_id") {
		c.SledID = uuid.UUID(rapid.SliceOfN(rapid.ByteRange(1, 255), 16, 16).Draw(t, "sled_id"))
	}
	c.API.Listen = anyAddrPort(t)
	c.Admin.Metrics = rapid.SampledFrom([]string{"", "[::]:0", "localhost:9100", "127.0.0.1:65535"}).Draw(t, "metrics")
	c.Metrics.WebConfig = path.Draw(t, "web_config")
	c.Evidence.MaxSize = rapid.Uint64Range(1, 1<<20).Draw(t, "max_size") << 20
	c.Evidence.Commands = rapid.SliceOfN(rapid.Map(rapid.SliceOfN(rapid.StringMatching(`[^\x00{}]*|\{pid\}`), 0, maxWords-1),
		func(words []string) []string { return append([]string{"pstack"}, words...) }), 0, maxCommands).Draw(t, "commands")
	c.Log.Level = rapid.SampledFrom([]string{"trace", "debug", "info", "warn", "error"}).Draw(t, "level")
	c.Log.Format = rapid.SampledFrom([]LogFormat{"", FormatJSON, FormatConsole, FormatBunyan}).Draw(t, "format")
	c.Nexus.Addresses = rapid.SliceOfN(rapid.StringMatching(`https?://([a-z][a-z0-9]{0,9}|\[fd00::[1-9a-f]\])(:[1-9][0-9]{0,3})?`), 0, 4).Draw(t, "addresses")
	if rapid.Bool().Draw(t, "has api.tls") {
		c.API.TLS = ServerTLS{path.Draw(t, "cert"), path.Draw(t, "key"), path.Draw(t, "client_ca")}
		c.API.Clients = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) APIClient {
			return APIClient{rapid.StringMatching(`[ -~é☃]{1,9}`).Draw(t, "name"), rapid.SampledFrom([]string{RoleRead, RoleStopOnly, RoleOperate}).Draw(t, "role")}
		}), 1, 4, func(c APIClient) string { return c.Name }).Draw(t, "clients")
	}
	c.Admin.Group = matching("group", `|[a-z][a-z0-9]{0,9}`)
	if rapid.Bool().Draw(t, "has nexus.tls") {
		c.Nexus.Addresses = []string{"https://nexus"}
		c.Nexus.TLS = ClientTLS{path.Draw(t, "cert"), path.Draw(t, "key"), path.Draw(t, "ca"), "nexus.test"}
	}
	c.Nexus.DNS = rapid.SliceOfN(rapid.Custom(anyNameServer), 0, maxNameServers).Draw(t, "dns")
	c.Nexus.RetryMax = span("retry_max", maxDuration)
	c.Nexus.RetryInitial = span("retry_initial", c.Nexus.RetryMax)
	for _, d := range []*time.Duration{&c.Nexus.RequestTimeout, &c.Nexus.GiveUpAfter, &c.Propolis.RequestTimeout,
		&c.Propolis.GoneAfter, &c.Watchdog.StartTimeout, &c.Watchdog.RebootTimeout, &c.Watchdog.EvidenceBudget, &c.Evidence.Keep} {
		*d = span("duration", maxDuration)
	}
	c.Propolis.APIVersion = matching("api_version", `[1-9][0-9]{0,8}\.0\.[1-9](-rc\.[0-9])?`)
	c.Watchdog.MaxStopGrace = span("max_stop_grace", maxDuration)
	c.Watchdog.StopGrace = span("stop_grace", c.Watchdog.MaxStopGrace)
	c.Zones.Backend = rapid.SampledFrom([]Backend{BackendAuto, BackendIllumos, BackendProcess}).Draw(t, "backend")
	c.VMMReservoir.Size = rapid.Uint64Range(0, 1<<40).Draw(t, "mib") << 20
	c.VMMReservoir.Percent = rapid.IntRange(0, 99).Draw(t, "percent")
	c.Zones.Orphans = rapid.SampledFrom([]Orphans{"", OrphansRemove, OrphansKeep}).Draw(t, "orphans")
	c.Zones.MaxTasks = rapid.IntRange(64, 1<<20).Draw(t, "max_tasks")
	c.Zones.Prefix = matching("prefix", `[a-z0-9][-_.A-Za-z0-9]{0,26}`)
	c.Zones.Process.Propolis = append([]string{matching("program", `/?[a-z]+`)},
		rapid.SliceOf(rapid.StringMatching(`[^\x00]*`)).Draw(t, "arguments")...)
	il := &c.Zones.Illumos
	il.CommandPath = strings.Join(rapid.SliceOfN(safePath, 1, 4).Draw(t, "command_path"), ":")
	il.VMMCtl = rapid.SampledFrom([]string{"", "/dev/vmmctl", "/dev/a b"}).Draw(t, "vmmctl")
	il.ZoneRoot = safePath.Draw(t, "zone_root")
	il.Brand = matching("brand", `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`)
	il.Image = rapid.SliceOfN(safePath, 1, 6).Draw(t, "image")
	il.Link = matching("link", `[a-z_][A-Za-z0-9_.-]{0,29}[0-9]`)
	il.Service = matching("service", `svc:/[a-z]{1,9}(/[a-z-]{1,9}){0,2}:[a-z]{1,9}`)
	if rapid.Bool().Draw(t, "has gateway") {
		il.Gateway = anyAddrPort(t).Addr()
	}
	return c
}

func anyNameServer(t *rapid.T) netip.AddrPort {
	return rapid.Custom(anyAddrPort).Filter(func(a netip.AddrPort) bool {
		return a.Port() != 0 && !a.Addr().IsUnspecified()
	}).Draw(t, "server")
}

func anyAddrPort(t *rapid.T) netip.AddrPort {
	n := rapid.SampledFrom([]int{4, 16}).Draw(t, "address length")
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
	return netip.AddrPortFrom(a, rapid.Uint16().Draw(t, "port"))
}
