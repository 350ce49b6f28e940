//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
)

// Servers that attack from inside their zones, all at once, cost the agent a bounded amount of memory,
// descriptors, goroutines and log. They end no other VM and no other process, and are removed like any
// other, even by an agent that has started after the attack.
func TestHostileZones(t *testing.T) {
	onlyOnProcesses(t)
	h := newHarness(t, setup{})
	other := newBystander(h)
	hostile := map[string]*vm{}
	for name := range attacks {
		if other.missing(name) == "" {
			hostile[name] = h.launchHostile(name, other)
		}
	}
	before := h.usage()
	most := before
	look := func() { most = most.or(h.usage()) }
	for _, v := range hostile {
		must(t, os.WriteFile(v.mark()+".go", nil, 0o600)) // The attack begins.
	}
	for name, v := range hostile {
		v.hasAttacked(name, look)
	}
	for range 40 { // That is longer than the longest interval between two checks of a zone.
		pause(100 * time.Millisecond)
		look()
		h.call("GET", "/zones", nil).wants(t, http.StatusOK)
	}
	before.bounds(t, most)
	other.checkUnhurt()
	h.restart()
	other.checkUnhurt()
	before = h.usage()
	for _, v := range hostile {
		if got := v.putState("stopped", "grace=100ms"); got.status >= 500 {
			t.Errorf("a stop: %v", got) // It may have ended by its own attack.
		}
	}
	for name := range attacks {
		t.Run(name, func(t *testing.T) {
			if why := other.missing(name); why != "" {
				t.Skip(why)
			}
			v := hostile[name]
			v.harness = h.with(t)
			v.row("ended", ended)
			v.forgotten()
			v.checkShown()
		})
	}
	before.bounds(t, h.usage())
	h.checkKept()
	other.checkUnhurt()
	other.vm.stopAndEnd()
}

// A bystander is what a hostile zone must not affect: another VMM, a process and a file of another
// program.
type bystander struct {
	vm      *vm
	pid     int // the VM's server
	process process
	file    string
}

func newBystander(h *harness) *bystander {
	h.t.Helper()
	b := &bystander{vm: h.launch(), file: filepath.Join(h.t.TempDir(), "server.log")}
	b.pid = b.vm.status().PID
	cmd := exec.Command("sleep", "3600")
	must(h.t, cmd.Start(), os.WriteFile(b.file, []byte("mine"), 0o600))
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill() // It runs, unless the test has failed.
		_ = cmd.Wait()         // It was killed.
	})
	s, _ := statOf(cmd.Process.Pid)
	b.process = process{pid: cmd.Process.Pid, start: s.start}
	return b
}

// group returns the control group of the VMM's zone, empty if this host has none.
func (b *bystander) group() string {
	for _, dir := range cgroups(b.vm.id.String()) {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.events")); err == nil {
			return dir
		}
	}
	return ""
}

// missing returns what this host lacks for an attack, empty if nothing.
func (b *bystander) missing(attack string) string {
	switch {
	case attack == "devices" && os.Geteuid() != 0:
		return "only root makes devices"
	case attack == "groups" && b.group() == "":
		return "this host grants no control groups"
	}
	return ""
}

// checkUnhurt checks that everything is unchanged.
func (b *bystander) checkUnhurt() {
	t := b.vm.t
	t.Helper()
	waitFor(t, func() string {
		if got := b.vm.status(); got.PID != b.pid || got.Phase != "active" {
			return fmt.Sprintf("the other VMM was %d and is %d, %s: %s", b.pid, got.PID, got.Phase, got.Reason)
		}
		return ""
	})
	if b.process.gone() {
		t.Error("the other process has ended")
	}
	text, err := os.ReadFile(b.file)
	if all := entries(filepath.Dir(b.file)); err != nil || string(text) != "mine" || len(all) != 1 {
		t.Errorf("the other directory has %q, its file %.200q, %v", all, text, err)
	}
}

// launchHostile launches a VMM with this program beside the server in its zone.
func (h *harness) launchHostile(name string, b *bystander) *vm {
	h.t.Helper()
	self, err := os.Executable()
	must(h.t, err)
	v := h.register()
	v.serverScript(fmt.Sprintf("%s=%q mark=%q victim=%d start=%s file=%q group=%q zone=%q %q &", hostileZone, name, v.mark(),
		b.process.pid, b.process.start, b.file, b.group(), v.id, self))
	return v.launch()
}

// mark is the prefix of the files with which test and attack communicate.
func (v *vm) mark() string { return filepath.Join(v.dir, v.id.String()) }

// hasAttacked waits until the attack is over.
func (v *vm) hasAttacked(name string, meanwhile func()) {
	v.t.Helper()
	waitFor(v.t, func() string {
		meanwhile()
		text, err := os.ReadFile(v.mark() + ".done")
		if err != nil {
			return err.Error()
		}
		if string(text) != "done" {
			v.t.Fatalf("%s: %s", name, text)
		}
		return ""
	})
}

// checkShown checks the output for a VMM that has ended.
func (v *vm) checkShown() {
	v.t.Helper()
	sledctl := program("sledctl")
	if _, err := os.Stat(sledctl); err != nil {
		must(v.t, build(sledctl, "sledctl"))
	}
	for _, format := range []string{"table", "json"} {
		cmd := exec.CommandContext(bounded(v.t), sledctl, "--socket", v.state("admin.sock"), "-o", format, "vmm", "show", v.id.String())
		shown, err := cmd.CombinedOutput()
		if err != nil {
			v.t.Errorf("show: %v: %s", err, shown)
		}
		if len(shown) > 64<<10 || bytes.ContainsFunc(shown, unprintable) || escaped.Match(shown) {
			v.t.Errorf("as %s it shows %d bytes: %.2000q", format, len(shown), shown)
		}
	}
}

// checkKept checks the ledger's file and the log.
func (h *harness) checkKept() {
	h.t.Helper()
	text, err := os.ReadFile(h.state("ledger.db"))
	if err != nil || escaped.Match(text) || bytes.Contains(text, []byte("\u009b")) {
		h.t.Errorf("the ledger: %v, %.200q", err, escaped.Find(text))
	}
	for line := range strings.Lines(h.agent().log()) {
		if len(line) > 16<<10 || strings.ContainsFunc(line, unprintable) || escaped.MatchString(line) {
			h.t.Errorf("the log has %d bytes: %.2000q", len(line), line)
		}
	}
}

// unprintable reports whether a character must not reach a terminal.
func unprintable(c rune) bool {
	return c != '\n' && (unicode.IsControl(c) || unicode.Is(unicode.Cf, c))
}

// escaped finds control characters in JSON, except line ends and tabs.
var escaped = regexp.MustCompile(`\\u00(0[0-8bcef]|1[0-9a-f])`)
