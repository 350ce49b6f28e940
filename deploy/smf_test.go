package deploy

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An element of the manifest, as far as the tests need it.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// find returns the children of this kind, with this name unless it is empty.
func (e element) find(kind, name string) []element {
	var found []element
	for _, c := range e.Children {
		if c.XMLName.Local == kind && (name == "" || c.attr("name") == name) {
			found = append(found, c)
		}
	}
	return found
}

// one returns the only child of this kind and name.
func (e element) one(t *testing.T, kind, name string) element {
	t.Helper()
	found := e.find(kind, name)
	if len(found) != 1 {
		t.Fatalf("%s has %d %s %s, want one", e.XMLName.Local, len(found), kind, name)
	}
	return found[0]
}

// propval returns a property's value, with its type.
func (e element) propval(t *testing.T, group, name string) string {
	t.Helper()
	p := e.one(t, "property_group", group).one(t, "propval", name)
	return p.attr("type") + " " + p.attr("value")
}

// service reads the manifest and returns one of its services. It fails the test if the manifest
// is not well-formed.
func service(t *testing.T, name string) element {
	t.Helper()
	f, err := os.Open("smf/sled-agent.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := xml.NewDecoder(f)
	var bundle element
	if err := d.Decode(&bundle); err != nil {
		t.Fatal(err)
	}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if text, is := token.(xml.CharData); err != nil || !is || strings.TrimSpace(string(text)) != "" {
			t.Fatalf("after the bundle: %v, %v", token, err)
		}
	}
	if bundle.XMLName.Local != "service_bundle" || bundle.attr("type") != "manifest" || bundle.attr("name") != "sled-agent" {
		t.Errorf("the bundle is %v", bundle.Attrs)
	}
	return bundle.one(t, "service", "system/illumos/"+name)
}

func TestManifest(t *testing.T) {
	t.Parallel()
	s := service(t, "sled-agent")
	start, stop := s.one(t, "exec_method", "start"), s.one(t, "exec_method", "stop")
	for what, v := range map[string]struct{ got, want, why string }{
		"duration": {s.propval(t, "startd", "duration"), "astring child",
			"an agent that ends must be started again whatever else is left in its contract, and however often"},
		"ignore_error": {s.propval(t, "startd", "ignore_error"), "astring core,signal",
			"a child's core dump or death must not be the agent's"},
		"config/file": {s.propval(t, "config", "file"), "astring /etc/sled-agent/sled-agent.toml",
			"packages install the configuration there"},
		"start": {start.attr("exec"), "/lib/svc/method/sled-agent %{config/file}",
			"one command, since startd runs it with exec, and with a path, since startd looks whether it is there"},
		"start timeout": {start.attr("timeout_seconds"), "0", "the method does not end before the agent"},
		"stop": {stop.attr("exec"), "/lib/svc/method/sled-agent stop %{restarter/contract}",
			"what outlives SIGTERM has to be killed before the timeout, which ends in maintenance"},
		"stop timeout": {stop.attr("timeout_seconds"), "30", "it must be finite, and longer than the method's two waits of 10 s"},
		"refresh": {s.one(t, "exec_method", "refresh").attr("exec"), "/lib/svc/method/sled-agent refresh",
			"a signal would reach the agent's commands as well"},
		"type":    {s.attr("type"), "service", "it is no restarter"},
		"enabled": {s.one(t, "create_default_instance", "").attr("enabled"), "false", "it has to be configured first"},
	} {
		if v.got != v.want {
			t.Errorf("%s is %q, want %q: %s", what, v.got, v.want, v.why)
		}
	}
	s.one(t, "single_instance", "")
}

// zoneadm needs root with all privileges. A method without a credential has them.
func TestManifestKeepsPrivileges(t *testing.T) {
	t.Parallel()
	s := service(t, "sled-agent")
	if n := len(s.find("method_context", "")); n != 0 {
		t.Errorf("the service has %d method contexts of its own", n)
	}
	context := s.one(t, "exec_method", "start").one(t, "method_context", "")
	for _, kind := range []string{"method_credential", "method_profile"} {
		if len(context.find(kind, "")) != 0 {
			t.Errorf("the start method has a %s", kind)
		}
	}
	if context.attr("working_directory") != "/" {
		t.Errorf("it works in %q", context.attr("working_directory"))
	}
	if v := context.one(t, "method_environment", "").one(t, "envvar", "GOTRACEBACK").attr("value"); v != "all" {
		t.Errorf("GOTRACEBACK is %q", v)
	}
}

func TestManifestDependencies(t *testing.T) {
	t.Parallel()
	var got []string
	for _, d := range service(t, "sled-agent").find("dependency", "") {
		if d.attr("grouping") != "require_all" || d.attr("restart_on") != "none" || d.attr("type") != "service" {
			t.Errorf("dependency %v", d.Attrs)
		}
		got = append(got, d.one(t, "service_fmri", "").attr("value"))
	}
	slices.Sort(got)
	want := []string{"svc:/milestone/devices:default", "svc:/milestone/network:default",
		"svc:/network/datalink-management:default", "svc:/system/filesystem/local:default"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// The order of a service's children that service_bundle.dtd.1 requires.
func TestManifestOrder(t *testing.T) {
	t.Parallel()
	order := []string{"create_default_instance", "single_instance", "restarter", "dependency", "dependent",
		"method_context", "exec_method", "property_group", "instance", "stability", "template"}
	for _, name := range []string{"sled-agent", "sled-agent-vmms"} {
		at := 0
		for _, c := range service(t, name).Children {
			next := slices.Index(order, c.XMLName.Local)
			if next < at {
				t.Errorf("%s: %s comes after %s", name, c.XMLName.Local, order[at])
			}
			at = max(at, next)
		}
	}
}

// The service that stops VMs at a shutdown is stopped before the agent and before all zones are
// shut down, and for no other reason than a shutdown.
func TestManifestShutdown(t *testing.T) {
	t.Parallel()
	s := service(t, "sled-agent-vmms")
	start, stop := s.one(t, "exec_method", "start"), s.one(t, "exec_method", "stop")
	agent, zones := s.one(t, "dependency", "agent"), s.one(t, "dependency", "zones")
	for what, v := range map[string]struct{ got, want string }{
		"agent":         {agent.one(t, "service_fmri", "").attr("value"), "svc:/system/illumos/sled-agent:default"},
		"zones":         {zones.one(t, "service_fmri", "").attr("value"), "svc:/system/zones:default"},
		"agent needed":  {agent.attr("grouping"), "require_all"},
		"zones needed":  {zones.attr("grouping"), "optional_all"},
		"agent restart": {agent.attr("restart_on"), "none"},
		"zones restart": {zones.attr("restart_on"), "none"},
		"start":         {start.attr("exec"), ":true"},
		"stop":          {stop.attr("exec"), "/lib/svc/method/sled-agent shutdown %{config/socket}"},
		"stop timeout":  {stop.attr("timeout_seconds"), "170"},
		"socket":        {s.propval(t, "config", "socket"), "astring /var/lib/sled-agent/admin.sock"},
		"duration":      {s.propval(t, "startd", "duration"), "astring transient"},
		"enabled":       {s.one(t, "create_default_instance", "").attr("enabled"), "false"},
	} {
		if v.got != v.want {
			t.Errorf("%s is %q, want %q", what, v.got, v.want)
		}
	}
}

// The run level decides whether the host shuts down; the line is that of illumos's who.
func TestShutdownMethod(t *testing.T) {
	t.Parallel()
	// systemd's unit does the same.
	unit, err := os.ReadFile("systemd/sled-agent-vmms.service")
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(string(unit), "\nExecStop=/usr/bin/sledctl ")
	command, _, _ = strings.Cut(command, "\n")
	for level, stops := range map[string]bool{"0": true, "5": true, "6": true, "3": false, "S": false, "1": false} {
		line := "   .       run-level " + level + "  Nov 30 14:55     " + level + "      0  3"
		want := []string{"who -r"}
		if stops {
			want = append(want, "sledctl --socket /a socket "+command)
		}
		got := runMethodWith(t, map[string]string{
			"/usr/bin/who": "echo '" + line + "'", "/usr/bin/sledctl": "exit 4",
		}, "shutdown", "/a socket")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("run level %s: -want +got:\n%s", level, diff)
		}
	}
}

// runMethod runs the start or stop method with stubs for its programs and returns the commands
// that it ran. pgrep finds a process until it has been run found times.
func runMethod(t *testing.T, found int, args ...string) []string {
	t.Helper()
	return runMethodWith(t, map[string]string{
		"/usr/bin/sled-agent": "", "/usr/bin/sledctl": "exit 1", "/usr/bin/pkill": "", "sleep": "",
		"/usr/bin/pgrep": fmt.Sprintf(`[ "$(grep -c ^pgrep "$LOG")" -le %d ]`, found),
	}, args...)
}

// runMethodWith runs the method with these stubs for programs, each a script by the program's
// path, and returns the commands that it ran.
func runMethodWith(t *testing.T, stubs map[string]string, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("smf/sled-agent.sh")
	if err != nil {
		t.Fatal(err)
	}
	text := string(script)
	for name, stub := range stubs {
		stub = `echo "${0##*/} $*" >>"$LOG"; ` + stub
		own := filepath.Join(dir, filepath.Base(name))
		replaced := strings.Replace(text, name, own, 1)
		if replaced == text {
			t.Fatalf("the method does not name %s", name)
		}
		text = replaced
		command := exec.Command("/bin/sh", "-c", `printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod 700 "$2"`, "sh", stub, own)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	method := exec.Command("/bin/sh", append([]string{"-c", text, "sled-agent"}, args...)...)
	method.Env = append(os.Environ(), "LOG="+filepath.Join(dir, "log"), "SMF_FMRI=svc:/x:default")
	if out, err := method.CombinedOutput(); err != nil {
		t.Errorf("the method fails: %v: %s", err, out)
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(log)), "\n")
}

func TestStartMethod(t *testing.T) {
	t.Parallel()
	want := []string{"sled-agent run --config /etc/the file.toml"}
	if diff := cmp.Diff(want, runMethod(t, 0, "/etc/the file.toml")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A refresh that cannot be done is not a service that fails.
func TestRefreshMethod(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff([]string{"sledctl agent reload"}, runMethod(t, 0, "refresh")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Processes that survive SIGTERM are killed before startd puts the service into maintenance.
func TestStopMethod(t *testing.T) {
	t.Parallel()
	const term, kill, look, wait = "pkill -TERM -c 17", "pkill -KILL -c 17", "pgrep -c 17", "sleep 1"
	var waits []string
	for range 10 {
		waits = append(waits, look, wait)
	}
	stubborn := slices.Concat([]string{term}, waits, []string{look, kill})
	for name, test := range map[string]struct {
		found int
		want  []string
	}{
		"ended at once":   {0, []string{term, look}},
		"ends":            {2, []string{term, look, wait, look, wait, look}},
		"has to die":      {11, slices.Concat(stubborn, []string{look})},
		"cannot even die": {1000, slices.Concat(stubborn, waits, []string{look})},
	} {
		if diff := cmp.Diff(test.want, runMethod(t, test.found, "stop", "17")); diff != "" {
			t.Errorf("an agent that %s: -want +got:\n%s", name, diff)
		}
	}
}

// The waits of the stop method fit into its timeout.
func TestStopMethodIsInTime(t *testing.T) {
	t.Parallel()
	seconds, err := strconv.Atoi(service(t, "sled-agent").one(t, "exec_method", "stop").attr("timeout_seconds"))
	if err != nil || seconds < 25 {
		t.Errorf("the timeout is %d s, error %v", seconds, err)
	}
}
