//go:build linux

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

func command(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// unmount waits: a process that has ended may keep its directory in use for a moment.
func unmount(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "the unmount", func() bool { return exec.Command("umount", dir).Run() == nil })
}

// A copy of a running zone's directory is not the zone: it does not run, and its
// removal ends nothing else.
func TestCopiesOfAZonesDirectory(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		make []string
		// inUse: it is the running zone's directory, so it stays.
		inUse bool
	}{
		"copy":       {make: []string{"cp", "-a"}},
		"link":       {make: []string{"ln", "-s"}},
		"rename":     {make: []string{"mv"}, inUse: true},
		"bind mount": {make: []string{"sh", "-c", `mkdir "$1" && mount --bind "$0" "$1"`}, inUse: true},
	} {
		for how, iso := range isolations(t) {
			t.Run(what+"/"+how, func(t *testing.T) {
				t.Parallel()
				if what == "bind mount" && os.Getuid() != 0 {
					t.Skip("needs root to mount")
				}
				dir := t.TempDir()
				m := withoutIn(t, dir, iso, "sleep")
				name := uniqueName(t)
				copied := name + ".bak"
				info := running(t, m, name)
				id := proc.ID{PID: info.PID, Start: startOf(t, info.PID)}
				command(t, append(c.make, m.zoneDir(name), m.zoneDir(copied))...)
				later := withoutIn(t, dir, iso, "sleep")
				if what == "bind mount" { // undone before either manager removes the zone
					t.Cleanup(func() { unmount(t, m.zoneDir(copied)) })
				}
				for _, m := range []*Manager{m, later} {
					checkCopy(t, m, copied, c.inUse)
					if !alive(t, id) {
						t.Fatal("the zone was killed")
					}
					if got := look(t, m, name); got.State != zone.Running || got.PID != id.PID {
						t.Errorf("the zone itself is %+v", got)
					}
				}
				if what == "rename" {
					command(t, "mv", m.zoneDir(copied), m.zoneDir(name))
				}
			})
		}
	}
}

func checkCopy(t *testing.T, m *Manager, name string, inUse bool) {
	t.Helper()
	info, err := m.Look(ctxFor(t), name)
	if err == nil && (info.State == zone.Running || info.PID != 0) {
		t.Errorf("the copy is %+v", info)
	}
	if inUse && err == nil {
		t.Errorf("a directory in use is %+v", info)
	}
	_ = m.Remove(ctxFor(t), zone.RungKill, name)
	if inUse {
		if err := m.Remove(ctxFor(t), zone.RungUninstall, name); err == nil || !exists(filepath.Join(m.zoneDir(name), zonedir.RootDir)) {
			t.Errorf("files in use are removed: %v", err)
		}
		return
	}
	remove(t, m, name)
}

// The agent's state directory may be moved or reached by another path. Its zones are
// then identified by their directories.
func TestStateReachedByAnotherPath(t *testing.T) {
	t.Parallel()
	for what, move := range map[string][]string{
		"link":       {"ln", "-s"},
		"move":       {"mv"},
		"bind mount": {"sh", "-c", `mkdir "$1" && mount --bind "$0" "$1"`},
	} {
		for how, iso := range isolations(t) {
			t.Run(what+"/"+how, func(t *testing.T) {
				t.Parallel()
				if what == "bind mount" && os.Getuid() != 0 {
					t.Skip("needs root to mount")
				}
				old, dir := filepath.Join(t.TempDir(), "old"), filepath.Join(t.TempDir(), "new")
				first, err := New(Config{Dir: old, Prefix: prefix, Log: zerolog.Nop(),
					Argv: []string{"/proc/self/exe", serverMode, "detach=touch=ready,sleep", "sleep"}})
				if err != nil {
					t.Fatal(err)
				}
				first.iso = iso
				name := uniqueName(t)
				want := running(t, first, name)
				ready(t, first, name)
				inside := members(t, first, name)
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
				command(t, append(move, old, dir)...)
				if what == "bind mount" {
					t.Cleanup(func() { unmount(t, dir) })
				}
				m := withoutIn(t, dir, iso, "sleep")
				if got := look(t, m, name); got != want {
					t.Errorf("it is %+v, was %+v", got, want)
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
}

// A copy of the agent's whole state does not own the original's zones, as long as the
// two can be distinguished.
func TestCopyOfTheWholeState(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		old, dir := filepath.Join(t.TempDir(), "old"), filepath.Join(t.TempDir(), "new")
		first := withoutIn(t, old, iso, "sleep")
		name := uniqueName(t)
		info := running(t, first, name)
		id := proc.ID{PID: info.PID, Start: startOf(t, info.PID)}
		command(t, "cp", "-a", old, dir)
		m := withoutIn(t, dir, iso, "sleep")
		if got := look(t, m, name); got.State != zone.Installed {
			t.Errorf("the copy is %+v", got)
		}
		_ = m.Remove(ctxFor(t), zone.RungKill, name)
		aside := old + ".aside"
		command(t, "mv", old, aside)
		// Which of the two is the original is unknown now.
		if got, err := m.Look(ctxFor(t), name); err == nil {
			t.Errorf("without the original the copy is %+v", got)
		}
		_ = m.Remove(ctxFor(t), zone.RungHalt, name)
		if err := m.Remove(ctxFor(t), zone.RungUninstall, name); err == nil {
			t.Error("uninstalled")
		}
		command(t, "mv", aside, old)
		remove(t, m, name)
		if !alive(t, id) {
			t.Error("the original was killed")
		}
	})
}

// A record that names an unrelated process is ignored.
func TestForgedRecords(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		dir := t.TempDir()
		m := withoutIn(t, dir, iso, "sleep")
		victim := running(t, m, prefix+"victim")
		own := proc.ID{PID: os.Getpid(), Start: startOf(t, os.Getpid())}
		other := bystander(t)
		init := proc.ID{PID: victim.PID, Start: startOf(t, victim.PID)}
		for what, boot := range map[string]zonedir.Boot{
			"the first process":        {Init: proc.ID{PID: 1, Start: max(startOf(t, 1), 1)}},
			"the agent":                {Init: own},
			"the agent as pidns":       {Init: own, PIDNS: true},
			"another process":          {Init: other},
			"another process as pidns": {Init: other, PIDNS: true},
			"another zone":             {Init: init, PIDNS: iso.pidns, Cgroup: m.group(victim.Name)},
			"another zone's dead":      {Init: proc.ID{PID: other.PID, Start: 1}, Cgroup: m.group(victim.Name)},
			"all processes":            {Init: proc.ID{PID: -1, Start: 1}},
			"a process group":          {Init: proc.ID{PID: -other.PID, Start: other.Start}},
			"the agent's cgroup":       {Init: other, Cgroup: iso.cgroups},
			"a path":                   {Init: other, Cgroup: "/../" + m.group(victim.Name) + "/../sled-00000000-" + prefix + "forged"},
		} {
			name := prefix + "forged"
			forge(t, m, name, boot)
			if info := look(t, m, name); info.State != zone.Installed || info.PID != 0 {
				t.Errorf("%s: %+v", what, info)
			}
			if err := m.Remove(ctxFor(t), zone.RungKill, name); err != nil {
				t.Errorf("%s: kill: %v", what, err)
			}
			remove(t, m, name)
			if !alive(t, other) || !alive(t, init) {
				t.Fatalf("%s: it was killed", what)
			}
		}
	})
}

// A record with the id of an earlier boot of the host, or without one, is checked
// against its process like any other.
func TestBootIDIsIgnored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newManagerIn(t, dir, "sleep")
	name := prefix + "rebooted"
	want := running(t, first, name)
	path := filepath.Join(first.zoneDir(name), zonedir.BootFile)
	record, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"", "00000000-0000-0000-0000-000000000000", "unknown"} {
		old := strings.Replace(string(record), "{", `{"boot_id":"`+id+`",`, 1)
		if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		m := newManagerIn(t, dir, "sleep")
		if got := look(t, m, name); got != want {
			t.Errorf("boot id %q: it is %+v, was %+v", id, got, want)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_ = syscall.Kill(want.PID, syscall.SIGKILL)
}
