package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/hostdir"
)

// built is the program, in a directory of its own with a server beside it.
var built string

// patience bounds waits for what happens soon unless something is broken.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "standin-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built = filepath.Join(dir, "illumos-standin")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", built, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	if err := os.WriteFile(filepath.Join(dir, "propolis-sim"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// a result is what a command printed and its exit status.
type result struct {
	out, err string
	exit     int
}

func program(t *testing.T, path string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// installed is a host in a new directory, taken down when the test ends.
func installed(t *testing.T, server ...string) (dir string, s section) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "sled")
	r := program(t, built, append([]string{"install", "-o", "json", dir}, server...)...)
	if r.exit != 0 || json.Unmarshal([]byte(r.out), &s) != nil {
		t.Fatalf("install: %+v", r)
	}
	t.Cleanup(func() {
		h, err := hostdir.Open(dir)
		if err == nil {
			err = h.Close(t.Context())
		}
		if err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return dir, s
}

// What is printed is the configuration of that host, in either format.
func TestInstallPrintsTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), `a "b`)
	r := program(t, built, "install", dir)
	if r.exit != 0 || r.err != "" {
		t.Fatalf("install: %+v", r)
	}
	var got struct {
		Zones struct {
			Backend string
			Illumos map[string]any
		}
	}
	if _, err := toml.Decode(r.out, &got); err != nil {
		t.Fatalf("%v in %s", err, r.out)
	}
	at := func(path string) string { return filepath.Join(dir, path) }
	want := map[string]any{"command_path": at("bin"), "zone_root": at("zones"), "vmmctl": "",
		"image": []any{at("images/propolis-server.tar.gz"), at("images/overlay.tar.gz")}}
	if diff := cmp.Diff(want, got.Zones.Illumos); diff != "" || got.Zones.Backend != "illumos" {
		t.Errorf("backend %q, zones.illumos (-want +got):\n%s", got.Zones.Backend, diff)
	}
	for _, image := range got.Zones.Illumos["image"].([]any) {
		if _, err := os.Stat(image.(string)); err != nil {
			t.Error(err)
		}
	}
	_, s := installed(t)
	if info, err := os.Stat(s.ZoneRoot); err != nil || !info.IsDir() {
		t.Errorf("as JSON: %+v, %v", s, err)
	}
}

// A host has addresses of both families, so that a server of either finds its gateway.
func TestInstalledHostAnswers(t *testing.T) {
	t.Parallel()
	_, s := installed(t)
	r := program(t, filepath.Join(s.CommandPath, "ipadm"), "show-addr", "-p", "-o", "ADDR")
	if r.exit != 0 || !strings.Contains(r.out, "127.0.0.1/8") || !strings.Contains(r.out, "fd00") {
		t.Errorf("ipadm: %+v", r)
	}
	if r := program(t, filepath.Join(s.CommandPath, "zoneadm"), "list", "-cip"); r.exit != 0 || !strings.HasPrefix(r.out, "0:global:running:") {
		t.Errorf("zoneadm: %+v", r)
	}
	fault := filepath.Join(s.CommandPath, "illumos-standin")
	if r := program(t, fault, "fault", `{"Do":"fail","Command":"dladm","Exit":7}`); r.exit != 0 {
		t.Errorf("fault: %+v", r)
	}
	if r := program(t, filepath.Join(s.CommandPath, "dladm"), "show-link"); r.exit != 7 {
		t.Errorf("dladm with a fault: %+v", r)
	}
}

// profile has the zone's server start.
const profile = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1">
<service_bundle type="profile" name="omicron">
  <service name="system/illumos/propolis-server" type="service" version="1">
    <instance name="default" enabled="true">
      <property_group name="config" type="application">
        <propval name="datalink" type="astring" value="vnic0"/>
        <propval name="gateway" type="astring" value="127.0.0.1"/>
        <propval name="listen_addr" type="astring" value="127.0.0.1"/>
      </property_group>
    </instance>
  </service>
</service_bundle>
`

// boot boots a zone of the host.
func boot(t *testing.T, s section) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "script")
	zonepath := filepath.Join(s.ZoneRoot, "alice")
	text := "create -b\nset brand=omicron1\nset zonepath=" + zonepath + "\nset ip-type=exclusive\nadd net\nset physical=vnic0\nend\n"
	write(t, script, text)
	must := func(name string, args ...string) {
		t.Helper()
		if r := program(t, filepath.Join(s.CommandPath, name), args...); r.exit != 0 {
			t.Fatalf("%s: %+v", name, r)
		}
	}
	must("dladm", "create-vnic", "-t", "-l", "underlay_stub0", "vnic0")
	must("zonecfg", "-z", "alice", "-f", script)
	must("zoneadm", append([]string{"-z", "alice", "install"}, s.Image...)...)
	write(t, filepath.Join(zonepath, "root/var/svc/profile/site.xml"), profile)
	must("zoneadm", "-z", "alice", "boot")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Close ends every process of the host and every command that hangs, and does so
// again if it is asked again.
func TestClose(t *testing.T) {
	t.Parallel()
	dir, s := installed(t, "sleep", "600")
	boot(t, s)
	pgrep := func() (pids []int) {
		for _, pid := range strings.Fields(program(t, filepath.Join(s.CommandPath, "pgrep"), "-z", "alice").out) {
			var n int
			if _, err := fmt.Sscan(pid, &n); err == nil {
				pids = append(pids, n)
			}
		}
		return pids
	}
	eventually(t, "init and the server run", func() bool { return len(pgrep()) == 2 })
	pids := pgrep()
	fault := program(t, filepath.Join(s.CommandPath, "illumos-standin"), "fault", `{"Do":"stuck","Object":"alice","State":"down"}`)
	halt := exec.CommandContext(t.Context(), filepath.Join(s.CommandPath, "zoneadm"), "-z", "alice", "halt")
	if err := halt.Start(); err != nil || fault.exit != 0 {
		t.Fatal(err, fault)
	}
	for range 2 {
		if r := program(t, built, "close", dir); r != (result{}) {
			t.Errorf("close: %+v", r)
		}
	}
	if err := halt.Wait(); err == nil {
		t.Error("a halt that hung ended well")
	}
	for _, pid := range pids {
		eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool { return !runs(pid) })
	}
}

// runs tells whether there is such a process that is no zombie: whose parent has
// died is the system's to reap.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	out, err := exec.Command("ps", "-o", "stat=", "-p", fmt.Sprint(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("after %v it is still not so: %s", patience, what)
		}
	}
}

// The server that none is named for is found beside the program; what is found
// is run by its absolute path.
func TestServer(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{nil, []string{filepath.Join(filepath.Dir(built), "propolis-sim"), "run", "{addr}"}},
		{[]string{"sh", "-c", "exec a {addr}"}, []string{sh, "-c", "exec a {addr}"}},
		{[]string{sh}, []string{sh}},
	} {
		dir, _ := installed(t, tt.args...)
		h, err := hostdir.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, h.Store.Options().Server); diff != "" {
			t.Errorf("server for %q (-want +got):\n%s", tt.args, diff)
		}
	}
}

func TestWrongUse(t *testing.T) {
	t.Parallel()
	empty, full := t.TempDir(), t.TempDir()
	write(t, filepath.Join(full, "file"), "")
	for _, tt := range []struct {
		args []string
		exit int
		want string
	}{
		{nil, 2, "install one"},
		{[]string{"zoneadm", "list"}, 2, "install one"},
		{[]string{"install"}, 2, "want a directory"},
		{[]string{"install", ""}, 2, "want a directory"},
		{[]string{"install", "-o", "xml", empty}, 2, "want toml or json"},
		{[]string{"install", "--fast", empty}, 2, "-fast"},
		{[]string{"install", empty, "./sim"}, 2, "want an absolute path or a name"},
		{[]string{"install", empty, "no-such-server"}, 1, "no-such-server"},
		{[]string{"install", empty, "/no/such/server"}, 1, "/no/such/server"},
		{[]string{"install", full}, 1, "not empty"},
		{[]string{"install", filepath.Join(full, "file")}, 1, "file"},
		{[]string{"close"}, 2, "want one directory"},
		{[]string{"close", "-f"}, 2, "want one directory"},
		{[]string{"close", empty, full}, 2, "want one directory"},
		{[]string{"close", full}, 1, "holds no host"},
		{[]string{"close", filepath.Join(full, "none")}, 1, "no such file"},
	} {
		if r := program(t, built, tt.args...); r.exit != tt.exit || !strings.Contains(r.err, tt.want) || r.out != "" {
			t.Errorf("%q: %+v, want exit %d and %q", tt.args, r, tt.exit, tt.want)
		}
	}
	for _, dir := range []string{empty, full} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 {
			t.Errorf("%s holds %v, %v", dir, entries, err)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"-h"}, {"--help"}, {"install", "--help"}} {
		if r := program(t, built, args...); r.exit != 0 || r.out != usage || r.err != "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
}
