//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// escapes are servers that try to survive the removal of their zone. Each touches
// "ready" in its root when it is set up; live is how many processes there are then,
// including the init.
var escapes = map[string]struct {
	actions []string
	live    int
}{
	"idle":              {[]string{"touch=ready", "sleep"}, 2},
	"ignores SIGTERM":   {[]string{"ignore-term", "touch=ready", "sleep"}, 2},
	"own session":       {[]string{"child=touch=ready,sleep", "sleep"}, 3},
	"double fork":       {[]string{"detach=ignore-term,touch=ready,sleep", "sleep"}, 3},
	"stopped":           {[]string{"touch=ready", "stop", "sleep"}, 2},
	"stopped and forks": {[]string{"detach=touch=ready,stop,sleep", "stop", "sleep"}, 3},
}

func isolations(t *testing.T) map[string]isolation {
	best := newManager(t).iso
	all := map[string]isolation{"none": {}, "best": best}
	if best.pidns {
		all["pid namespace"] = isolation{pidns: true}
	}
	if best.cgroups != "" {
		all["cgroup"] = isolation{cgroups: best.cgroups}
	}
	return all
}

// eachIsolation runs a test with each isolation that the host grants.
func eachIsolation(t *testing.T, test func(t *testing.T, iso isolation)) {
	t.Helper()
	for how, iso := range isolations(t) {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			test(t, iso)
		})
	}
}

func TestNothingEscapes(t *testing.T) {
	t.Parallel()
	for how, iso := range isolations(t) {
		for what, escape := range escapes {
			t.Run(how+"/"+what, func(t *testing.T) {
				t.Parallel()
				testEscape(t, without(t, iso, escape.actions...), escape.live)
			})
		}
	}
}

func testEscape(t *testing.T, m *Manager, live int) {
	t.Helper()
	name := prefix + "escape"
	running(t, m, name)
	ready := filepath.Join(m.zoneDir(name), "root", "ready")
	eventually(t, "the server", func() bool { return exists(ready) && len(members(t, m, name)) == live })
	if err := m.Remove(ctxFor(t), zone.RungKill, name); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end after Kill alone", func() bool { return len(members(t, m, name)) == 0 })
	remove(t, m, name)
}

// A server that has moved to another control group is still found and killed.
func TestServerLeavesItsGroup(t *testing.T) {
	t.Parallel()
	for how, iso := range isolations(t) {
		if iso.cgroups == "" {
			continue
		}
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			m := without(t, iso, "detach=touch=ready,sleep", "sleep")
			name := prefix + "leaver"
			running(t, m, name)
			ready(t, m, name)
			inside := members(t, m, name)
			for _, p := range inside {
				// The process that has detached the server may be ending.
				if err := cgroup.Enter(iso.cgroups, p.PID); err != nil && !errors.Is(err, syscall.ESRCH) {
					t.Fatal(err)
				}
			}
			if err := m.Remove(ctxFor(t), zone.RungKill, name); err != nil {
				t.Error(err)
			}
			remove(t, m, name)
			for _, p := range inside {
				if alive(t, p.ID) {
					t.Errorf("left: %v", p)
				}
			}
		})
	}
}

// After an init was killed from outside, Look finds every process that is left.
func TestInitKilledFromOutside(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		m := without(t, iso, "detach=ignore-term,touch=ready,sleep", "sleep")
		name := prefix + "other"
		info := running(t, m, name)
		ready(t, m, name)
		gone := watch(m, name)
		if err := syscall.Kill(info.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if end := <-gone; end.How != "signal: killed" {
			t.Errorf("it ended %q", end.How)
		}
		want := zone.Down
		if iso.pidns {
			want = zone.Installed
		}
		eventually(t, "the state", func() bool { return look(t, m, name).State == want })
		remove(t, m, name)
		wantNoMembers(t, m, name)
	})
}

// No signal of a server ends or stops its init, but those that no Go program can catch, and the
// server ignores and blocks none because of that.
func TestInitOutlivesSignals(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		m := without(t, iso, "status=status", "signal-init", "touch=ready", "sleep")
		name := prefix + "other"
		info := running(t, m, name)
		root := filepath.Join(m.zoneDir(name), "root")
		ready(t, m, name)
		if now := look(t, m, name); now.State != zone.Running || now.PID != info.PID {
			t.Errorf("the zone is %v, its init %d, was %d", now.State, now.PID, info.PID)
		}
		if state := statusField(t, fmt.Sprintf("/proc/%d/status", info.PID), "State"); strings.HasPrefix(state, "T") {
			t.Error("its init is", state)
		}
		for _, set := range []string{"SigIgn", "SigBlk"} {
			// C libraries, which a race detector needs, have 32 to 34 for themselves.
			got, err := strconv.ParseUint(statusField(t, filepath.Join(root, "status"), set), 16, 64)
			if err != nil || got&^(7<<31) != 0 {
				t.Errorf("the server has %s %x, %v", set, got, err)
			}
		}
		remove(t, m, name)
	})
}

// statusField returns a field of a file as described in proc_pid_status(5).
func statusField(t *testing.T, path, name string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("%s has no %s", path, name)
	return ""
}

// When a server ends, the processes that it started are killed, and the end is reported
// with its cause although a child keeps the output open.
func TestServerEndsAlone(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		m := without(t, iso, "detach=ignore-term,touch=ready,sleep", "wait-for=go", "say=last output", "exit=7")
		name := prefix + "alone"
		running(t, m, name)
		root := filepath.Join(m.zoneDir(name), "root")
		ready(t, m, name)
		gone := watch(m, name)
		touch(t, filepath.Join(root, "go"))
		if end := <-gone; end.How != "exit status 7" {
			t.Errorf("it ended %q", end.How)
		}
		info := look(t, m, name)
		if info.State != zone.Installed || !strings.Contains(info.Detail, "exit status 7") {
			t.Errorf("afterwards: %+v", info)
		}
		wantNoMembers(t, m, name)
		if tail, err := m.Tail(ctxFor(t), name, 1000); string(tail) != "last output\n" {
			t.Errorf("tail: %q, %v", tail, err)
		}
		if err := m.Boot(ctxFor(t), name); err != nil {
			t.Errorf("boot again: %v", err)
		}
	})
}

func TestCloseLeavesZonesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := newManagerIn(t, dir, "sleep")
	want := running(t, m, prefix+"stays")
	m.Watch(want.Name, func(zone.End) { t.Error("watch reported an end") })
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	again := newManagerIn(t, dir, "sleep")
	if got := look(t, again, want.Name); got != want {
		t.Errorf("a new manager sees %+v, want %+v", got, want)
	}
	gone := watch(again, want.Name)
	// Unlike an agent that died, this process is still the parent and has to reap.
	if err := proc.Kill(proc.ID{PID: want.PID, Start: startOf(t, want.PID)}); err != nil {
		t.Fatal(err)
	}
	<-gone
	if got := look(t, again, want.Name).State; got != zone.Installed {
		t.Errorf("after its end it is %v", got)
	}
}

func TestHaltEndsWithItsContext(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	name := prefix + "turn"
	running(t, m, name)
	held, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	go m.locks.Remove(ctxFor(t), name, func(context.Context) error { close(held); <-release; return nil })
	<-held
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Remove(ctx, zone.RungHalt, name); err == nil {
		t.Error("Halt did not wait for the call before it")
	}
	if err := m.Remove(ctxFor(t), zone.RungKill, name); err != nil {
		t.Errorf("Kill waited for another call: %v", err)
	}
	eventually(t, "the end", func() bool { return look(t, m, name).State == zone.Installed })
}
