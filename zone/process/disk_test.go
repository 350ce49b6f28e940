//go:build linux

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// disk returns a directory on a file system of its own, which blocks between freeze
// and thaw.
func disk(t *testing.T) (dir string, freeze, thaw func()) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	dir = t.TempDir()
	for _, args := range [][]string{
		{"truncate", "-s", "64M", image},
		{"mkfs.ext4", "-q", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system can be made that freezes: %q: %v\n%s", args, err, out)
		}
	}
	frozen := false
	thaw = func() {
		if frozen {
			frozen = false
			command(t, "fsfreeze", "-u", dir)
		}
	}
	freeze = func() {
		command(t, "fsfreeze", "-f", dir)
		frozen = true
	}
	t.Cleanup(func() {
		thaw()
		unmount(t, dir)
	})
	return dir, freeze, thaw
}

// A server's output does not block while the disk of its log is frozen.
func TestServerOnAFrozenDisk(t *testing.T) {
	t.Parallel()
	dir, freeze, thaw := disk(t)
	signals := t.TempDir()
	m := newManagerIn(t, filepath.Join(dir, "zones"), "touch="+filepath.Join(signals, "up"),
		"wait-for="+filepath.Join(signals, "frozen"), "fill=100000", "touch="+filepath.Join(signals, "said"), "sleep")
	name := prefix + "frozen"
	running(t, m, name)
	eventually(t, "the server", func() bool { return exists(filepath.Join(signals, "up")) })
	freeze()
	touch(t, filepath.Join(signals, "frozen"))
	eventually(t, "the server to have said all", func() bool { return exists(filepath.Join(signals, "said")) })
	thaw()
	eventually(t, "the log", func() bool {
		tail, err := m.Tail(ctxFor(t), name, 1000)
		return err == nil && strings.Contains(string(tail), "bytes of output were dropped")
	})
}

// The agent and the init neither block on what a server has put in place of their
// files, nor write through it.
func TestPipesInPlaceOfRecords(t *testing.T) {
	t.Parallel()
	m := newManager(t, "wait-for=go", "fill=500", "exit=5")
	m.cfg.LogMax = 4096 // so that the log is rotated
	later := newManagerIn(t, m.dir, "sleep")
	for _, file := range []string{zonedir.ConfigFile, zonedir.BootFile, zonedir.ExitFile, zonedir.LogFile, zonedir.LogFile + ".1"} {
		for kind, put := range map[string]func(path string) error{
			"pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
			"socket":    func(p string) error { return syscall.Mknod(p, syscall.S_IFSOCK|0o600, 0) },
			"link":      func(p string) error { return os.Symlink("root/target", p) },
			"link out":  func(p string) error { return os.Symlink("/etc/passwd", p) },
			"directory": func(p string) error { return os.MkdirAll(filepath.Join(p, "a", "b"), 0o700) },
			"huge":      func(p string) error { return os.WriteFile(p, nil, 0o600) },
		} {
			name := prefix + "pipes"
			want := running(t, m, name)
			path := filepath.Join(m.zoneDir(name), file)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := put(path); err != nil {
				t.Fatal(err)
			}
			if kind == "huge" {
				if err := os.Truncate(path, 1<<40); err != nil {
					t.Logf("no huge file: %v", err)
				}
			}
			if got, err := later.Look(ctxFor(t), name); err != nil || got.PID != want.PID || got.State != zone.Running {
				t.Errorf("%s as %s: %+v, %v", file, kind, got, err)
			}
			if _, err := later.Tail(ctxFor(t), name, 100); err != nil && file != zonedir.LogFile {
				t.Errorf("%s as %s: %v", file, kind, err)
			}
			ended := watch(m, name)
			touch(t, filepath.Join(m.zoneDir(name), "root", "go"))
			<-ended
			if exists(filepath.Join(m.zoneDir(name), "root", "target")) {
				t.Errorf("%s as %s: it was written through", file, kind)
			}
			remove(t, m, name)
		}
	}
}

// A server's exit record and output are shown without control characters and with a
// bounded length.
func TestTextFromAZoneIsCleaned(t *testing.T) {
	t.Parallel()
	m := newManager(t, "say=\x1b[2Jhello\x07", "wait-for=go", "exit=0")
	name := prefix + "text"
	running(t, m, name)
	dir := m.zoneDir(name)
	eventually(t, "the log", func() bool {
		tail, err := m.Tail(ctxFor(t), name, 100)
		return err == nil && string(tail) == "?[2Jhello?\n"
	})
	ended := watch(m, name)
	touch(t, filepath.Join(dir, "root", "go"))
	<-ended
	exit := `{"how":"\u001b]0;title\u0007` + strings.Repeat("x", 1<<19) + `"}`
	if err := os.WriteFile(filepath.Join(dir, zonedir.ExitFile), []byte(exit), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{look(t, m, name).Detail, (<-watch(m, name)).How} {
		if len(text) > maxDetail || !strings.Contains(text, "?]0;title?") || strings.ContainsAny(text, "\x1b\x07") {
			t.Errorf("%d bytes: %.60q", len(text), text)
		}
	}
}

// A server that forges its zone's record is still seen and killed.
func TestServerForgesItsOwnRecord(t *testing.T) {
	t.Parallel()
	eachIsolation(t, func(t *testing.T, iso isolation) {
		dir := t.TempDir()
		first := withoutIn(t, dir, iso, "child=touch=ready,sleep", "sleep")
		name := uniqueName(t)
		info := running(t, first, name)
		ready(t, first, name)
		inside := members(t, first, name)
		dead := proc.ID{PID: 1 << 21, Start: 5}
		for what, boot := range map[string]*zonedir.Boot{
			"none":           nil,
			"dead":           {Init: dead},
			"dead namespace": {Init: dead, PIDNS: true},
			"dead group":     {Init: dead, Cgroup: "/nowhere/" + groupPrefix(dir) + name},
		} {
			root, err := first.open(name)
			if err != nil {
				t.Fatal(err)
			}
			if boot == nil {
				err = root.Remove(zonedir.BootFile)
			} else {
				err = zonedir.Write(root, zonedir.BootFile, boot)
			}
			root.Close()
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			m := withoutIn(t, dir, iso, "sleep")
			if got, err := m.Look(ctxFor(t), name); err == nil && (got.State != zone.Running || got.PID != info.PID) {
				t.Errorf("%s: it is %+v", what, got)
			}
			if err := m.Remove(ctxFor(t), zone.RungUninstall, name); err == nil {
				t.Errorf("%s: uninstalled", what)
			}
		}
		m := withoutIn(t, dir, iso, "sleep")
		remove(t, m, name)
		for _, p := range inside {
			if alive(t, p.ID) {
				t.Errorf("left: %v", p)
			}
		}
	})
}
