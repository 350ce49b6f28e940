package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// startScript starts one of the scripts.
func startScript(t *testing.T, name string) *program {
	t.Helper()
	p, err := start(t.TempDir(), script("one/"+name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(termBudget) })
	return p
}

func TestProgram(t *testing.T) {
	t.Parallel()
	p := startScript(t, "says-address")
	if addr, err := p.said(t.Context(), "addr"); err != nil || addr != "127.0.0.1:1" {
		t.Errorf("said %q, %v", addr, err)
	}
	pid := p.process.Pid
	if !alive(pid) {
		t.Error("the program is not alive")
	}
	if group, err := unix.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process %d is in group %d (%v): Ctrl-C would reach it", pid, group, err)
	}
	p.end(termBudget)
	if alive(pid) {
		t.Error("the program has survived")
	}
}

func TestProgramThatIsSilent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if addr, err := startScript(t, "silent").said(ctx, "addr"); err == nil {
		t.Errorf("said %q", addr)
	}
}

func TestProgramThatIgnoresTheSignal(t *testing.T) {
	t.Parallel()
	p := startScript(t, "ignores-term")
	if _, err := p.said(t.Context(), "addr"); err != nil {
		t.Fatal(err)
	}
	p.end(50 * time.Millisecond)
	if alive(p.process.Pid) {
		t.Error("the program has survived")
	}
}

const (
	alice = "oxz_propolis-server_9f6e0f4a-6d1c-4c33-8e5b-0a3c0d5a7f01"
	bob   = "oxz_propolis-server_9f6e0f4a-6d1c-4c33-8e5b-0a3c0d5a7f02"
)

func makeZone(t *testing.T, dir, zone string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "zones", zone), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestProcessHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	makeZone(t, dir, bob)
	h, err := newHost(t.Context(), "process", "", dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.identify(t.Context(), alice, os.Getpid()); err == nil || !strings.Contains(err.Error(), "zone directory") {
		t.Errorf("a zone without a directory: %v", err)
	}
	makeZone(t, dir, alice)
	if _, _, err := h.identify(t.Context(), alice, 0); err == nil {
		t.Error("a zone without a process was identified")
	}
	pid, names, err := h.identify(t.Context(), alice, os.Getpid())
	if err != nil || pid != os.Getpid() {
		t.Errorf("process %d, %v", pid, err)
	}
	if found, err := h.look(t.Context(), names); err != nil || !slices.Equal(found, []string{"zone directory " + alice}) {
		t.Errorf("found %q, %v", found, err)
	}
}

// illumosHost is a host whose commands print these texts; other commands fail.
func illumosHost(t *testing.T, says map[string]string) *host {
	t.Helper()
	h, err := newHost(t.Context(), "illumos", script("good-host"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	makeZone(t, h.dir, bob)
	if err := os.Mkdir(filepath.Join(h.dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"zoneadm", "zonecfg", "dladm", "zfs", "pgrep"} {
		if err := os.Symlink(script("one/says-file"), h.command(name)); err != nil {
			t.Fatal(err)
		}
		if text, ok := says[name]; ok {
			if err := os.WriteFile(h.command(name)+".says", []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return h
}

// running returns the output of the commands on a host with Alice's and Bob's zones.
func running() map[string]string {
	return map[string]string{
		"zoneadm": "0:global:running:/::ipkg:shared\n1:" + bob + ":running:/b:u:omicron1:excl\n2:" + alice + ":shutting_down:/a:u:omicron1:excl\n",
		"zonecfg": "create -b\nset zonepath=/a\nadd net\nset physical=oxControlInstance3\nend\nadd net\nset physical=\"oxGuest1\"\nend\n",
		"dladm":   "underlay0\noxControlInstance1\noxControlInstance3\noxGuest1\n",
		"zfs":     "rpool\nrpool/zones\nrpool/zones/" + bob + "\nrpool/zones/" + alice + "\n",
		"pgrep":   strconv.Itoa(os.Getpid()) + "\n",
	}
}

// aliceHas are the names of the resources of Alice's VMM.
var aliceHas = []string{alice, "oxControlInstance3", "oxGuest1"}

func TestIllumosHost(t *testing.T) {
	t.Parallel()
	h := illumosHost(t, running())
	makeZone(t, h.dir, alice)
	pid, names, err := h.identify(t.Context(), alice, 0)
	if err != nil || pid != os.Getpid() || !slices.Equal(names, aliceHas) {
		t.Errorf("identified %d, %q, %v", pid, names, err)
	}
	found, err := h.look(t.Context(), names)
	want := []string{"datalink oxControlInstance3", "datalink oxGuest1", "dataset " + alice, "zone directory " + alice, "zone " + alice}
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Errorf("%v, found (-want +got):\n%s", err, diff)
	}
	if err := h.close(t.Context()); err == nil || !strings.Contains(err.Error(), "will not close") {
		t.Errorf("close: %v", err)
	}
}

// Each resource that outlives its zone is found, and those of other VMMs are not.
func TestIllumosHostAfterwards(t *testing.T) {
	t.Parallel()
	clean := map[string]string{"zoneadm": "0:global:running:/::ipkg:shared\n", "dladm": "underlay0\noxControlInstance33\n",
		"zfs": "rpool/zones/" + bob + "\n"}
	for _, tt := range []struct{ name, command, says, want string }{
		{"nothing", "dladm", clean["dladm"], ""},
		{"a link", "dladm", "oxControlInstance3\n", "datalink oxControlInstance3"},
		{"a dataset", "zfs", running()["zfs"], "dataset " + alice},
		{"a zone", "zoneadm", "-:" + alice + ":installed:/a:u:omicron1:excl\n", "zone " + alice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := illumosHost(t, clean)
			if err := os.WriteFile(h.command(tt.command)+".says", []byte(tt.says), 0o600); err != nil {
				t.Fatal(err)
			}
			if found, err := h.look(t.Context(), aliceHas); err != nil || strings.Join(found, ", ") != tt.want {
				t.Errorf("found %q, %v, want %q", found, err, tt.want)
			}
		})
	}
}

// A host that does not answer is not treated as an empty one.
func TestIllumosHostThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, mute := range []string{"zoneadm", "zonecfg", "dladm", "zfs", "pgrep"} {
		says := running()
		delete(says, mute)
		h := illumosHost(t, says)
		makeZone(t, h.dir, alice)
		if _, names, err := h.identify(t.Context(), alice, 0); err == nil || !strings.Contains(err.Error(), mute) {
			t.Errorf("without an answer of %s: %q, %v", mute, names, err)
		}
	}
}
