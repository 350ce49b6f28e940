//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// testTimeout bounds waits for things that should happen at once.
const testTimeout = 30 * time.Second

const prefix = "oxz_"

// newManager returns a manager in a directory of its own, whose zones' servers perform
// the actions.
func newManager(t testing.TB, actions ...string) *Manager {
	t.Helper()
	return newManagerIn(t, t.TempDir(), actions...)
}

func newManagerIn(t testing.TB, dir string, actions ...string) *Manager {
	t.Helper()
	m, err := New(Config{
		Dir:    dir,
		Prefix: prefix,
		Argv:   append([]string{"/proc/self/exe", serverMode}, actions...),
		Log:    zerolog.New(zerolog.NewTestWriter(t)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		removeAllZones(t, m)
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

// without is newManager with the isolation iso instead of the host's best.
func without(t testing.TB, iso isolation, actions ...string) *Manager {
	t.Helper()
	return withoutIn(t, t.TempDir(), iso, actions...)
}

func withoutIn(t testing.TB, dir string, iso isolation, actions ...string) *Manager {
	t.Helper()
	m := newManagerIn(t, dir, actions...)
	m.iso = iso
	return m
}

func ctxFor(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// uniqueName is for zones whose directories move or go: when one does, a process of a zone that
// has the same name elsewhere may be its own.
func uniqueName(t *testing.T) string { return prefix + strings.ReplaceAll(t.Name(), "/", "-") }

func spec(name string) zone.Spec {
	return zone.Spec{
		Name: name,
		Addr: netip.MustParseAddrPort("[::1]:12400"),
		NICs: []zone.NIC{{ID: "b"}, {ID: "a"}},
	}
}

func create(t testing.TB, m *Manager, name string) {
	t.Helper()
	if _, err := m.Create(ctxFor(t), spec(name)); err != nil {
		t.Fatal(err)
	}
}

// boot creates and boots a zone.
func boot(t testing.TB, m *Manager, name string) {
	t.Helper()
	create(t, m, name)
	if err := m.Boot(ctxFor(t), name); err != nil {
		t.Fatal(err)
	}
}

// running is boot of a server that does not end by itself.
func running(t testing.TB, m *Manager, name string) zone.Info {
	t.Helper()
	boot(t, m, name)
	info := look(t, m, name)
	if info.State != zone.Running {
		t.Fatalf("booted zone is %+v", info)
	}
	return info
}

func look(t testing.TB, m *Manager, name string) zone.Info {
	t.Helper()
	info, err := m.Look(ctxFor(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// remove removes a zone as EnsureGone would, and returns the states it saw.
func remove(t testing.TB, m *Manager, name string) []zone.State {
	t.Helper()
	states, err := tryRemove(ctxFor(t), m, name)
	if err != nil {
		t.Fatalf("remove %s, seen %v: %v", name, states, err)
	}
	return states
}

func tryRemove(ctx context.Context, m *Manager, name string) ([]zone.State, error) {
	var seen []zone.State
	for range 10 {
		info, err := m.Look(ctx, name)
		if err != nil {
			return seen, err
		}
		seen = append(seen, info.State)
		for _, rung := range zone.Plan(info.State) {
			if err := m.Remove(ctx, rung, name); err != nil {
				return seen, fmt.Errorf("%s: %w", rung, err)
			}
		}
		if info.State == zone.Absent {
			return seen, nil
		}
	}
	return seen, fmt.Errorf("still there after %v", seen)
}

func removeAllZones(t testing.TB, m *Manager) {
	infos, err := m.List(context.Background())
	if err != nil {
		t.Errorf("list: %v", err)
	}
	for _, info := range infos {
		remove(t, m, info.Name)
	}
}

// eventually polls until is returns true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", testTimeout, what)
		}
		time.Sleep(time.Millisecond) // sleep: between two looks of a poll with a deadline
	}
}

// members returns every live process with the zone's mark.
func members(t testing.TB, m *Manager, name string) []proc.Info {
	t.Helper()
	all, err := proc.All()
	if err != nil {
		t.Fatal(err)
	}
	var in []proc.Info
	for _, p := range all {
		if p.Ended() {
			continue
		}
		_, mark, err := proc.Started(p.PID, "SLED_ZONE")
		for _, ignored := range []error{proc.ErrGone, proc.ErrHidden, proc.ErrStarting} {
			if errors.Is(err, ignored) {
				err = nil
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if mark == m.zoneDir(name) {
			in = append(in, p)
		}
	}
	return in
}

func wantNoMembers(t testing.TB, m *Manager, name string) {
	t.Helper()
	if left := members(t, m, name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// ready waits until the zone's server has touched "ready" in its root.
func ready(t testing.TB, m *Manager, name string) {
	t.Helper()
	eventually(t, "the server", func() bool { return exists(filepath.Join(m.zoneDir(name), zonedir.RootDir, "ready")) })
}

// watch returns where the end of a zone is reported, once.
func watch(m *Manager, name string) <-chan zone.End {
	ended := make(chan zone.End, 1)
	m.Watch(name, func(e zone.End) {
		ended <- e
		close(ended)
	})
	return ended
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(os.Getpid()), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func startOf(t testing.TB, pid int) uint64 {
	t.Helper()
	info, err := proc.Stat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return info.Start
}

// mkfifo makes a pipe that is open for writing, so that reads of it block.
func mkfifo(t *testing.T, path string) error {
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return err
}

func alive(t testing.TB, id proc.ID) bool {
	t.Helper()
	ok, err := proc.Alive(id)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// forge makes a zone whose directory has this record of its boot.
func forge(t testing.TB, m *Manager, name string, boot zonedir.Boot) {
	t.Helper()
	create(t, m, name)
	root, err := m.open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := zonedir.Write(root, zonedir.BootFile, boot); err != nil {
		t.Fatal(err)
	}
}
