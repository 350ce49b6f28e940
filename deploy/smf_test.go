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

// service reads the manifest and fails the test if it is not well-formed.
func service(t *testing.T) element {
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
	return bundle.one(t, "service", "system/illumos/sled-agent")
}

func TestManifest(t *testing.T) {
	t.Parallel()
	s := service(t)
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
	s := service(t)
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
	for _, d := range service(t).find("dependency", "") {
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
	at := 0
	for _, c := range service(t).Children {
		next := slices.Index(order, c.XMLName.Local)
		if next < at {
			t.Errorf("%s comes after %s", c.XMLName.Local, order[at])
		}
		at = max(at, next)
	}
}

// runMethod runs the method with stubs for its programs and returns the commands that it ran.
// pgrep finds a process until it has been run found times.
func runMethod(t *testing.T, found int, args ...string) []string {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("smf/sled-agent.sh")
	if err != nil {
		t.Fatal(err)
	}
	const tell = `echo "${0##*/} $*" >>"$LOG"; `
	text := string(script)
	for name, stub := range map[string]string{
		"/usr/bin/sled-agent": tell, "/usr/bin/sledctl": tell + "exit 1", "/usr/bin/pkill": tell, "sleep": tell,
		"/usr/bin/pgrep": tell + fmt.Sprintf(`[ "$(grep -c ^pgrep "$LOG")" -le %d ]`, found),
	} {
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
	seconds, err := strconv.Atoi(service(t).one(t, "exec_method", "stop").attr("timeout_seconds"))
	if err != nil || seconds < 25 {
		t.Errorf("the timeout is %d s, error %v", seconds, err)
	}
}
