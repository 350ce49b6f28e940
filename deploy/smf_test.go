package deploy

import (
	"encoding/xml"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An element of the manifest, as far as the tests look into it.
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

// find returns the children of this kind, with this name if it is not empty.
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

// service reads the manifest; one that is not well-formed fails the test.
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
		if err == io.EOF {
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
		"stop":          {stop.attr("exec"), ":kill", "the agent ends at SIGTERM"},
		"stop timeout":  {stop.attr("timeout_seconds"), "30", "it must be finite, and longer than the 5 s that the agent takes"},
		"type":          {s.attr("type"), "service", "it is no restarter"},
		"enabled":       {s.one(t, "create_default_instance", "").attr("enabled"), "false", "it has to be configured first"},
	} {
		if v.got != v.want {
			t.Errorf("%s is %q, want %q: %s", what, v.got, v.want, v.why)
		}
	}
	s.one(t, "single_instance", "")
}

// zoneadm needs root with every privilege, which is what a method has that says
// nothing of users.
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

// The order is what service_bundle.dtd.1 wants of a service's children.
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

// runMethod runs the start method with an agent whose check exits with status,
// and returns what was run.
func runMethod(t *testing.T, status string) []string {
	t.Helper()
	dir := t.TempDir()
	script, err := os.ReadFile("smf/sled-agent.sh")
	if err != nil {
		t.Fatal(err)
	}
	const tell = `echo "${0##*/} $*" >>"$LOG"; `
	stub := tell + `if [ "$1" = check ]; then exit ` + status + `; fi`
	text := string(script)
	for _, name := range []string{"/usr/bin/sled-agent", "/usr/sbin/svcadm", "sleep"} {
		own := filepath.Join(dir, filepath.Base(name))
		replaced := strings.Replace(text, name+"\n", own+"\n", 1)
		if replaced == text {
			replaced = strings.Replace(text, "\t"+name+" ", "\t"+own+" ", 1)
		}
		if replaced == text {
			t.Fatalf("the method does not name %s", name)
		}
		text = replaced
		command := exec.Command("/bin/sh", "-c", `printf '#!/bin/sh\n%s\n' "$1" >"$2" && chmod 700 "$2"`, "sh", stub, own)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	method := exec.Command("/bin/sh", "-c", text, "sled-agent", "/etc/the file.toml")
	method.Env = append(os.Environ(), "LOG="+filepath.Join(dir, "log"), "SMF_FMRI=svc:/x:default")
	_ = method.Run() // how it exits is not looked at by SMF either
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(log)), "\n")
}

func TestMethod(t *testing.T) {
	t.Parallel()
	const check, run = "sled-agent check --config /etc/the file.toml", "sled-agent run --config /etc/the file.toml"
	for status, want := range map[string][]string{
		"0":  {check, run},
		"96": {check, "svcadm mark maintenance svc:/x:default", "sleep 60"},
		// Killed, say: no reason not to try.
		"137": {check, run},
	} {
		if diff := cmp.Diff(want, runMethod(t, status)); diff != "" {
			t.Errorf("check exits with %s: -want +got:\n%s", status, diff)
		}
	}
}
