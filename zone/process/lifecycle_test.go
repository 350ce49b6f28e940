//go:build linux

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

func TestZoneLifecycle(t *testing.T) {
	t.Parallel()
	m := newManager(t, "say=hello", "sleep")
	ctx, name := ctxFor(t), prefix+"cycle"
	if got := look(t, m, name).State; got != zone.Absent {
		t.Fatalf("before Create it is %v", got)
	}
	made, err := m.Create(ctx, spec(name))
	if err != nil {
		t.Fatal(err)
	}
	want := zone.Made{Links: map[string]string{"b": "vnic0", "a": "vnic1"}, Path: filepath.Join(m.dir, name)}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	if got := look(t, m, name).State; got != zone.Installed {
		t.Fatalf("after Create it is %v", got)
	}
	if _, err := m.Create(ctx, spec(name)); !errors.Is(err, zone.ErrExists) {
		t.Errorf("second Create: %v", err)
	}
	if err := m.Boot(ctx, name); err != nil {
		t.Fatal(err)
	}
	info := look(t, m, name)
	if info.State != zone.Running || info.PID <= 1 ||
		info.Incarnation != fmt.Sprintf("%d-%d", info.PID, startOf(t, info.PID)) {
		t.Errorf("after Boot: %+v", info)
	}
	if err := m.Boot(ctx, name); !errors.Is(err, zone.ErrNotInstalled) {
		t.Errorf("second Boot: %v", err)
	}
	eventually(t, "the server's output", func() bool {
		tail, err := m.Tail(ctx, name, 100)
		return err == nil && string(tail) == "hello\n"
	})
	if got, want := remove(t, m, name), []zone.State{zone.Running, zone.Installed, zone.Absent}; !slices.Equal(got, want) {
		t.Errorf("removal saw %v, want %v", got, want)
	}
	wantNoMembers(t, m, name)
	if g := m.group(name); g != "" && exists(g) {
		t.Errorf("%s is left", g)
	}
}

func TestRemovalIsIdempotent(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	ctx := ctxFor(t)
	rungs := []zone.Rung{zone.RungKill, zone.RungHalt, zone.RungDestroyVM, zone.RungUninstall, zone.RungDelete, zone.RungRelease}
	for _, at := range []zone.State{zone.Absent, zone.Configured, zone.Installed, zone.Running} {
		name := prefix + at.String()
		if at != zone.Absent {
			create(t, m, name)
		}
		switch at {
		case zone.Running:
			if err := m.Boot(ctx, name); err != nil {
				t.Fatal(err)
			}
		case zone.Configured:
			if err := m.Remove(ctx, zone.RungUninstall, name); err != nil {
				t.Fatal(err)
			}
		}
		if got := look(t, m, name).State; got != at {
			t.Fatalf("want %v, it is %v", at, got)
		}
		for range 2 {
			for _, rung := range rungs {
				if err := m.Remove(ctx, rung, name); err != nil {
					t.Errorf("from %v, %s: %v", at, rung, err)
				}
			}
		}
		if got := look(t, m, name).State; got != zone.Absent {
			t.Errorf("from %v: it is %v at last", at, got)
		}
	}
}

func TestFilesOfARunningZoneStay(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		m := without(t, iso, "sleep")
		ctx, name := ctxFor(t), prefix+"busy"
		want := running(t, m, name)
		if err := m.Remove(ctx, zone.RungUninstall, name); err == nil {
			t.Error("Uninstall of a running zone succeeded")
		}
		if err := m.Remove(ctx, zone.RungDelete, name); err == nil {
			t.Error("Delete of a running zone succeeded")
		}
		if diff := cmp.Diff(want, look(t, m, name)); diff != "" {
			t.Errorf("zone changed:\n%s", diff)
		}
	})
}

func TestServerThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for reason, argv := range map[string]string{
		"no such file or directory": "/no/such/server",
		"permission denied":         os.TempDir(),
		"exec format error":         script,
		"neither in":                "no-such-server-anywhere",
	} {
		m := newManager(t)
		m.cfg.Argv = []string{argv}
		name := prefix + "none"
		create(t, m, name)
		err := m.Boot(ctxFor(t), name)
		if err == nil || !strings.Contains(err.Error(), reason) || !strings.Contains(err.Error(), argv) {
			t.Errorf("boot of %s: %v, want %q", argv, err, reason)
		}
		if info := look(t, m, name); info.State != zone.Installed || len(members(t, m, name)) > 0 {
			t.Errorf("after a failed boot: %+v", info)
		}
	}
}

func TestListKnowsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	for _, dir := range []string{"other", ".oxz_hidden", "oxz_bad name", "oxz_" + strings.Repeat("x", 100)} {
		if err := os.Mkdir(filepath.Join(m.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	info := running(t, m, prefix+"one")
	got, err := m.List(ctxFor(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]zone.Info{info}, got); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// A zone that an earlier agent made with another prefix belongs to this one until it
// is released.
func TestRecalledZones(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		dir := t.TempDir()
		first, err := New(Config{Dir: dir, Prefix: "old_", Log: zerolog.Nop(), Argv: []string{"/proc/self/exe", serverMode, "sleep"}})
		if err != nil {
			t.Fatal(err)
		}
		first.iso = iso
		want := running(t, first, "old_zone")
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		m := withoutIn(t, dir, iso, "sleep")
		if infos, err := m.List(ctxFor(t)); err != nil || len(infos) != 0 {
			t.Errorf("another agent's zone is listed: %+v, %v", infos, err)
		}
		m.Recall("old_zone", zone.Made{Path: "/elsewhere/old_zone"})
		m.Recall("../old_zone", zone.Made{})
		m.Recall("old_never", zone.Made{})
		if infos, err := m.List(ctxFor(t)); err != nil || len(infos) != 1 || infos[0] != want {
			t.Errorf("%+v are listed, %v, want %+v", infos, err, want)
		}
		if _, err := m.Create(ctxFor(t), spec("old_never")); err == nil {
			t.Error("a new zone has the old prefix")
		}
		remove(t, m, "old_zone")
		remove(t, m, "old_never")
		if len(m.recalled) != 0 {
			t.Errorf("still recalled: %v", m.recalled)
		}
	})
}

func TestNamesAreChecked(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	ctx := ctxFor(t)
	for _, name := range []string{"", ".", "..", "a/b", "../x", "oxz_\x00", "global"} {
		_, lookErr := m.Look(ctx, name)
		_, createErr := m.Create(ctx, spec(name))
		_, tailErr := m.Tail(ctx, name, 10)
		for i, err := range []error{lookErr, createErr, tailErr, m.Boot(ctx, name), m.Remove(ctx, zone.RungKill, name),
			m.Remove(ctx, zone.RungHalt, name), m.Remove(ctx, zone.RungUninstall, name), m.Remove(ctx, zone.RungDelete, name), m.Remove(ctx, zone.RungRelease, name)} {
			if err == nil {
				t.Errorf("name %q was accepted by method %d", name, i)
			}
		}
	}
	if _, err := m.Create(ctx, spec("foreign")); err == nil {
		t.Error("a zone without the prefix was made: it would not be listed")
	}
}

func TestGarbageIsRemovable(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 2<<20)
	for _, file := range []string{zonedir.ConfigFile, zonedir.BootFile, zonedir.ExitFile, zonedir.LogDir, zonedir.RootDir, "other"} {
		for kind, put := range map[string]func(path string) error{
			"text":      func(p string) error { return os.WriteFile(p, []byte("{{{"), 0o600) },
			"empty":     func(p string) error { return os.WriteFile(p, nil, 0o600) },
			"null":      func(p string) error { return os.WriteFile(p, []byte("null"), 0o600) },
			"big":       func(p string) error { return os.WriteFile(p, []byte(big), 0o600) },
			"directory": func(p string) error { return os.MkdirAll(filepath.Join(p, "x", "y"), 0o700) },
			"link":      func(p string) error { return os.Symlink("/etc/passwd", p) },
			"link out":  func(p string) error { return os.Symlink("../..", p) },
			"pipe":      func(p string) error { return mkfifo(t, p) },
		} {
			m := newManager(t)
			name := prefix + "garbage"
			create(t, m, name)
			path := filepath.Join(m.zoneDir(name), file)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Tail(ctxFor(t), name, 10); err != nil && file != zonedir.LogDir {
				t.Errorf("%s as %s: tail: %v", file, kind, err)
			}
			if _, err := tryRemove(ctxFor(t), m, name); err != nil {
				t.Errorf("%s as %s: %v", file, kind, err)
			}
		}
	}
}

func TestSomethingElseHasTheName(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for kind, put := range map[string]func(string) error{
		"file": func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"link": func(p string) error { return os.Symlink(outside, p) },
		"pipe": func(p string) error { return mkfifo(t, p) },
		"root": func(p string) error { return os.Symlink("/", p) },
	} {
		name := prefix + kind
		if err := put(m.zoneDir(name)); err != nil {
			t.Fatal(err)
		}
		if got := look(t, m, name).State; got != zone.Incomplete {
			t.Errorf("a %s is %v", kind, got)
		}
		if _, err := m.Create(ctxFor(t), spec(name)); !errors.Is(err, zone.ErrExists) {
			t.Errorf("create over a %s: %v", kind, err)
		}
		remove(t, m, name)
	}
	if !exists(kept) {
		t.Error("what the link pointed to is gone")
	}
}

func TestLinksAreNotFollowedOutOfTheZone(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := newManager(t, "link="+outside, "touch=ready", "sleep")
	name := prefix + "links"
	running(t, m, name)
	ready(t, m, name)
	remove(t, m, name)
	if !exists(kept) {
		t.Error("what the link pointed to is gone")
	}
}

// The content of a mount below a zone is not removed with it, and nothing of the zone
// is removed until it is unmounted.
func TestUninstallStopsAtMounts(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	for _, below := range []string{"root/data/mnt", "root", "log", "."} {
		m := newManager(t, "sleep")
		name := prefix + "mounted"
		create(t, m, name)
		point := filepath.Join(m.zoneDir(name), below)
		if err := os.MkdirAll(point, 0o700); err != nil {
			t.Fatal(err)
		}
		command(t, "mount", "-t", "tmpfs", "none", point)
		unmounted := false
		t.Cleanup(func() {
			if !unmounted {
				command(t, "umount", point)
			}
		})
		kept := filepath.Join(point, "kept")
		touch(t, kept)
		for range 2 {
			if err := m.Remove(ctxFor(t), zone.RungUninstall, name); err == nil || !strings.Contains(err.Error(), point+" is a mount point") {
				t.Errorf("mounted at %s: uninstall: %v", below, err)
			}
		}
		if below == "." {
			if err := os.Remove(kept); err != nil {
				t.Fatal(err)
			}
			if err := m.Remove(ctxFor(t), zone.RungDelete, name); err == nil {
				t.Error("mounted on the zone's directory: deleted")
			}
		} else if !exists(kept) {
			t.Errorf("mounted at %s: the content is gone", below)
		}
		command(t, "umount", point)
		unmounted = true
		remove(t, m, name)
	}
}

// A full directory does not make a look more expensive, and its removal ends.
// Not parallel: it counts the allocations of the whole process.
func TestFilledZoneDirectory(t *testing.T) {
	m := newManager(t, "sleep")
	name := prefix + "filled"
	create(t, m, name)
	for i := range 20000 {
		touch(t, filepath.Join(m.zoneDir(name), fmt.Sprintf("junk-%d", i)))
	}
	if n := testing.AllocsPerRun(10, func() { look(t, m, name) }); n > 1000 {
		t.Errorf("a look allocates %v times", n)
	}
	if err := os.RemoveAll(filepath.Join(m.zoneDir(name), "root")); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(10, func() { look(t, m, name) }); n > 1000 {
		t.Errorf("a look without the root allocates %v times", n)
	}
	remove(t, m, name)
}
