//go:build linux

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// bystander starts a process that belongs to no zone.
func bystander(t *testing.T) proc.ID {
	t.Helper()
	cmd := exec.Command("sleep", "3600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return proc.ID{PID: cmd.Process.Pid, Start: startOf(t, cmd.Process.Pid)}
}

// A record of a process that has ended must never make another process with its pid be
// killed, whatever the record says about isolation.
func TestReusedPIDIsLeftAlone(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	other := bystander(t)
	for what, boot := range map[string]zonedir.Boot{
		"earlier start":            {Init: proc.ID{PID: other.PID, Start: other.Start - 1}},
		"later start":              {Init: proc.ID{PID: other.PID, Start: other.Start + 1}},
		"earlier start, namespace": {Init: proc.ID{PID: other.PID, Start: other.Start - 1}, PIDNS: true},
		"the very process":         {Init: other},
		"another's cgroup":         {Init: proc.ID{PID: other.PID, Start: 1}, Cgroup: m.iso.cgroups},
		"a path as cgroup":         {Init: proc.ID{PID: other.PID, Start: 1}, Cgroup: "/tmp/../" + m.iso.cgroups},
	} {
		name := prefix + "reused"
		forge(t, m, name, boot)
		if info := look(t, m, name); info.State != zone.Installed || info.PID != 0 {
			t.Errorf("%s: %+v", what, info)
		}
		told := watch(m, name)
		<-told
		if err := m.Remove(ctxFor(t), zone.RungKill, name); err != nil {
			t.Errorf("%s: kill: %v", what, err)
		}
		if err := m.Remove(ctxFor(t), zone.RungHalt, name); err != nil {
			t.Errorf("%s: halt: %v", what, err)
		}
		remove(t, m, name)
		if !alive(t, other) {
			t.Fatalf("%s: a bystander was killed", what)
		}
	}
}

// Without a readable record the zone is still identified by its init.
func TestUnreadableRecordOfARunningZone(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		dir := t.TempDir()
		first := withoutIn(t, dir, iso, "detach=touch=ready,sleep", "sleep")
		name := prefix + "unreadable"
		want := running(t, first, name)
		ready(t, first, name)
		if err := os.WriteFile(filepath.Join(first.zoneDir(name), zonedir.BootFile), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		m := withoutIn(t, dir, iso, "sleep")
		if got := look(t, m, name); got != want {
			t.Errorf("it is %+v, was %+v", got, want)
		}
		if err := m.Remove(ctxFor(t), zone.RungUninstall, name); err == nil {
			t.Error("uninstalled while it ran")
		}
		remove(t, m, name)
		if left := members(t, m, name); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// Processes are found and killed even if their directory was removed.
func TestDirectoryVanishes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newManagerIn(t, dir, "detach=touch=ready,sleep", "sleep")
	name := prefix + "vanished"
	want := running(t, first, name)
	ready(t, first, name)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	// Both this manager and a new one, which finds the init, see that it runs.
	if got := look(t, first, name); got.State != zone.Running || got.Incarnation != want.Incarnation {
		t.Errorf("it is %+v, was %+v", got, want)
	}
	m := first
	if first.iso.cgroups != "" {
		m = newManagerIn(t, dir)
		if infos, err := m.List(ctxFor(t)); err != nil || len(infos) != 1 || infos[0].State == zone.Absent || infos[0].State == zone.Installed {
			t.Errorf("a new manager lists %+v, %v", infos, err)
		}
	}
	remove(t, m, name)
	wantNoMembers(t, m, name)
	// Its control group is empty before the last process of a PID namespace has
	// ended, and the new manager knows only the group.
	eventually(t, "the zone's end", func() bool { return look(t, first, name).State == zone.Absent })
}
