//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

func TestLifeOfAZone(t *testing.T) {
	t.Parallel()
	m := newManager(t, "say=hello", "sleep")
	ctx, name := ctxFor(t), prefix+"life"
	if got := look(t, m, name).State; got != zone.Absent {
		t.Fatalf("before Create it is %v", got)
	}
	made, err := m.Create(ctx, spec(name))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"b": "vnic0", "a": "vnic1"}, made.Links); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
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
	eventually(t, "the server's word", func() bool {
		tail, err := m.Tail(ctx, name, 100)
		return err == nil && string(tail) == "hello\n"
	})
	if got, want := remove(t, m, name), []zone.State{zone.Running, zone.Installed, zone.Configured, zone.Absent}; !slices.Equal(got, want) {
		t.Errorf("removal saw %v, want %v", got, want)
	}
	if left := members(t, m, name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if g := m.group(name); g != "" && exists(g) {
		t.Errorf("%s is left", g)
	}
}

func TestRemovalIsIdempotent(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	ctx := ctxFor(t)
	verbs := []func(context.Context, string) error{m.Kill, m.Halt, m.DestroyVM, m.Uninstall, m.Delete, m.Release}
	for _, at := range []zone.State{zone.Absent, zone.Configured, zone.Installed, zone.Running} {
		name := prefix + at.String()
		if at != zone.Absent {
			if _, err := m.Create(ctx, spec(name)); err != nil {
				t.Fatal(err)
			}
		}
		switch at {
		case zone.Running:
			if err := m.Boot(ctx, name); err != nil {
				t.Fatal(err)
			}
		case zone.Configured:
			if err := m.Uninstall(ctx, name); err != nil {
				t.Fatal(err)
			}
		}
		if got := look(t, m, name).State; got != at {
			t.Fatalf("want %v, it is %v", at, got)
		}
		for range 2 {
			for i, verb := range verbs {
				if err := verb(ctx, name); err != nil {
					t.Errorf("from %v, verb %d: %v", at, i, err)
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
	for how, iso := range isolations(t) {
		m := without(t, iso, "sleep")
		ctx, name := ctxFor(t), prefix+"busy"
		want := running(t, m, name)
		if err := m.Uninstall(ctx, name); err == nil {
			t.Errorf("%s: Uninstall of a running zone succeeded", how)
		}
		if err := m.Delete(ctx, name); err == nil {
			t.Errorf("%s: Delete of a running zone succeeded", how)
		}
		if diff := cmp.Diff(want, look(t, m, name)); diff != "" {
			t.Errorf("%s: zone changed:\n%s", how, diff)
		}
	}
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
		if _, err := m.Create(ctxFor(t), spec(name)); err != nil {
			t.Fatal(err)
		}
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

func TestNamesAreChecked(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	ctx := ctxFor(t)
	for _, name := range []string{"", ".", "..", "a/b", "../x", "oxz_\x00", "global"} {
		_, lookErr := m.Look(ctx, name)
		_, createErr := m.Create(ctx, spec(name))
		_, tailErr := m.Tail(ctx, name, 10)
		for i, err := range []error{lookErr, createErr, tailErr, m.Boot(ctx, name), m.Kill(ctx, name),
			m.Halt(ctx, name), m.Uninstall(ctx, name), m.Delete(ctx, name), m.Release(ctx, name)} {
			if err == nil {
				t.Errorf("name %q was taken by method %d", name, i)
			}
		}
	}
	if _, err := m.Create(ctx, spec("foreign")); err == nil {
		t.Error("a zone without the prefix was made: nobody would list it")
	}
}

func TestGarbageIsRemovable(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 2<<20)
	for _, file := range []string{zonedir.ConfigFile, zonedir.BootFile, zonedir.ExitFile, zonedir.LogDir, zonedir.RootDir, "stranger"} {
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
			if _, err := m.Create(ctxFor(t), spec(name)); err != nil {
				t.Fatal(err)
			}
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
			if _, err := takeAway(ctxFor(t), m, name); err != nil {
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
	eventually(t, "the link", func() bool { return exists(filepath.Join(m.zoneDir(name), "root", "ready")) })
	remove(t, m, name)
	if !exists(kept) {
		t.Error("what the link pointed to is gone")
	}
}
