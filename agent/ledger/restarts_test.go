package ledger

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// fickle is a host whose boot id and whose disk may fail at any moment.
type fickle struct {
	booted time.Time
	boot   string
}

func (f *fickle) Now() time.Duration { return time.Since(f.booted) }

func (f *fickle) Boot() (string, error) {
	if rand.IntN(2) == 0 {
		return "", errNoBoot
	}
	return f.boot, nil
}

func (f *fickle) commit() error {
	if rand.IntN(3) == 0 {
		return syscall.EIO
	}
	return nil
}

// TestFaultsMoveNoDeadline restarts agents for hours within one boot, often with
// unwritten changes, while the boot id and the disk fail at any call. No VMM is from
// another boot, none is missing, no deadline moves. Then the host reboots, and no
// deadline is further away than its maximum.
func TestFaultsMoveNoDeadline(t *testing.T) {
	t.Parallel()
	const vmms, restarts, grace = 5, 40, 10 * time.Minute
	for range 2 {
		path := newPath(t)
		synctest.Test(t, func(t *testing.T) {
			f := &fickle{booted: time.Now().Add(-time.Hour), boot: "first"}
			l := opened(t, path, Options{Clock: f})
			want := map[int]time.Time{}
			for n := range vmms {
				want[n] = time.Now().Add(grace)
				saved(t, l, vmmID(n), stopping(want[n]))
			}
			closed(t, l)
			for range restarts {
				time.Sleep(rand.N(5 * time.Minute))
				l, err := Open(path, Options{Clock: f, BeforeCommit: f.commit})
				if err != nil {
					t.Fatal(err)
				}
				for n, e := range f.restored(t, l, want, false) {
					time.Sleep(rand.N(time.Second))
					l.Save(vmmID(n), e)
					if time.Since(want[n]) > grace { // the stop of another VM
						want[n] = time.Now().Add(grace)
						for waitFor(l.Save(vmmID(n), stopping(want[n]))) != nil {
							time.Sleep(time.Second)
						}
					}
				}
				kill(t, l, path)
			}
			f.boot, f.booted = "second", time.Now().Add(-rand.N(3*time.Hour))
			l = opened(t, path, Options{Clock: f})
			for _, e := range f.restored(t, l, want, true) {
				if left := time.Until(e.State.Armed.At); left > grace {
					t.Errorf("after a reboot %s is left of %s", left, grace)
				}
			}
		})
	}
}

// restored loads the VMMs and checks them.
func (f *fickle) restored(t *testing.T, l *Ledger, want map[int]time.Time, rebooted bool) []Entry {
	t.Helper()
	all, err := load(l, limits)
	if err != nil || len(all) != len(want) {
		t.Fatalf("%d VMMs of %d, %v", len(all), len(want), err)
	}
	var entries []Entry
	for n, e := range all {
		if e.HostRebooted && !rebooted {
			t.Errorf("VMM %d is from another boot", n)
		}
		if got := e.State.Armed; got.For != vmm.ForStop || !rebooted && !got.At.Equal(want[n]) {
			t.Errorf("VMM %d: %s for %q, want %s", n, got.At, got.For, want[n])
		}
		entries = append(entries, e.Entry)
	}
	return entries
}

// kill ends an agent as a crash does: the next one finds what is on disk now, with no
// write in progress.
func kill(t *testing.T, l *Ledger, path string) {
	t.Helper()
	synctest.Wait()
	files := imageOf(t, path)
	l.cancel()
	<-l.done
	files.put(t, filepath.Dir(path))
}

// TestFailedSaveThenDrop: a registration that could not be saved is dropped; when the
// disk recovers, nothing of it is on disk.
func TestFailedSaveThenDrop(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		recovers := time.Now().Add(time.Minute)
		l := opened(t, path, Options{BeforeCommit: func() error {
			if time.Now().Before(recovers) {
				return syscall.ENOSPC
			}
			return nil
		}})
		for n := range 20 {
			if err := waitFor(l.Save(vmmID(n), numbered(n, 1, 10))); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("saved: %v", err)
			}
			l.Drop(vmmID(n), nil)
		}
		time.Sleep(2 * time.Minute)
		if all := loaded(t, l); len(all) != 0 || l.HasEnded(vmmID(3)) || l.Trouble() != nil {
			t.Errorf("%d VMMs, trouble: %v", len(all), l.Trouble())
		}
		closed(t, l)
		l = opened(t, path, Options{})
		if all := loaded(t, l); len(all) != 0 || l.HasEnded(vmmID(3)) {
			t.Errorf("%d VMMs after a restart", len(all))
		}
	})
}
