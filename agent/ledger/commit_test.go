package ledger

import (
	"context"
	"errors"
	"math"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A disk provides BeforeCommit: each transaction waits for its result, which the test
// sends.
type disk struct {
	begun chan struct{} // receives once per transaction that begins
	ends  chan error    // result of the next transaction
}

func newDisk() disk { return disk{begun: make(chan struct{}, 100), ends: make(chan error, 100)} }

func (d disk) commit() error {
	d.begun <- struct{}{}
	return <-d.ends
}

// quiet fails if any of the channels has a result.
func quiet(t *testing.T, waiters ...<-chan error) {
	t.Helper()
	for i, w := range waiters {
		select {
		case err := <-w:
			t.Errorf("waiter %d received %v, too early or twice", i, err)
		default:
		}
	}
}

// TestSaversShareCommits blocks the first transaction while others save: all of them
// go into the second.
func TestSaversShareCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := opened(t, newPath(t), Options{BeforeCommit: d.commit})
		first := l.Save(vmmID(0), numbered(1, 1, 10))
		<-d.begun
		var waiters []<-chan error
		for gen := uint64(2); gen <= 4; gen++ {
			for n := range 100 {
				waiters = append(waiters, l.Save(vmmID(n), numbered(1, gen, 10)))
			}
		}
		synctest.Wait()
		quiet(t, append(waiters, first)...)
		d.ends <- nil
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		<-d.begun
		synctest.Wait()
		quiet(t, waiters...)
		d.ends <- nil
		for _, w := range waiters {
			if err := <-w; err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		quiet(t, append(waiters, first)...)
		if len(d.begun) != 0 {
			t.Errorf("%d transactions too many", len(d.begun))
		}
		for id, e := range loaded(t, l) {
			if e.State.Record.VMM.Gen != 4 {
				t.Errorf("VMM %s is at generation %d, the newest is 4", id, e.State.Record.VMM.Gen)
			}
		}
	})
}

// TestStuckDiskBlocksNoCaller: Save and Drop return at once while a transaction
// hangs, and what was saved meanwhile is written when it ends.
func TestStuckDiskBlocksNoCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := 30 * time.Second
		l := opened(t, newPath(t), Options{BeforeCommit: func() error {
			time.Sleep(hang)
			return nil
		}})
		l.Save(vmmID(0), numbered(1, 1, 10))
		synctest.Wait()
		begun := time.Now()
		dropped := l.Save(vmmID(1), numbered(1, 1, 10))
		l.Drop(vmmID(1), nil)
		last := l.Save(vmmID(0), numbered(1, 2, 10))
		if took := time.Since(begun); took != 0 {
			t.Errorf("saving took %s on a stuck disk", took)
		}
		for _, done := range []<-chan error{last, dropped} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(begun); took != 2*hang {
			t.Errorf("durable after %s, want the two transactions' %s", took, 2*hang)
		}
		if all := loaded(t, l); len(all) != 1 || all[vmmID(0)].State.Record.VMM.Gen != 2 {
			t.Errorf("loaded %+v", all)
		}
	})
}

// TestWaitersAreBounded: if a VMM saves many times while a transaction hangs, only the
// newest go on waiting.
func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	path, d := newPath(t), newDisk()
	l := opened(t, path, Options{BeforeCommit: d.commit})
	first := l.Save(vmmID(0), numbered(1, 1, 10))
	<-d.begun
	var waiters []<-chan error
	for gen := range uint64(3 * maxWaiting) {
		waiters = append(waiters, l.Save(vmmID(0), numbered(1, gen+2, 10)))
	}
	for _, w := range waiters[:2*maxWaiting] {
		if err := waitFor(w); !errors.Is(err, errStuck) {
			t.Errorf("the oldest waiter received %v", err)
		}
	}
	quiet(t, waiters[2*maxWaiting:]...)
	d.ends <- nil
	d.ends <- nil
	for _, w := range append(waiters[2*maxWaiting:], first) {
		if err := waitFor(w); err != nil {
			t.Error(err)
		}
	}
	closed(t, l)
}

// TestFailingDisk: a waiting Save receives the error once. The entry is written when
// the disk recovers, without another call.
func TestFailingDisk(t *testing.T) {
	t.Parallel()
	for _, failing := range []error{syscall.ENOSPC, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			heals := time.Now().Add(5 * time.Minute)
			l := opened(t, newPath(t), Options{BeforeCommit: func() error {
				if time.Now().Before(heals) {
					return failing
				}
				return nil
			}})
			w := l.Save(vmmID(0), numbered(1, 1, 10))
			if err := <-w; !errors.Is(err, failing) {
				t.Fatalf("received %v, want %v", err, failing)
			}
			if !errors.Is(l.Trouble(), failing) {
				t.Errorf("trouble: %v, want %v", l.Trouble(), failing)
			}
			if all := loaded(t, l); len(all) != 0 {
				t.Errorf("loaded %+v", all)
			}
			time.Sleep(time.Until(heals) + 15*time.Second)
			quiet(t, w)
			if all := loaded(t, l); len(all) != 1 || l.Trouble() != nil {
				t.Errorf("15 s after the disk has healed: %d VMMs, trouble: %v", len(all), l.Trouble())
			}
		})
	}
}

// TestNewerReplacesWhatFailed: a failed change must not overwrite a newer one.
func TestNewerReplacesWhatFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := opened(t, newPath(t), Options{BeforeCommit: d.commit})
		first := l.Save(vmmID(0), numbered(1, 1, 10))
		<-d.begun
		second := l.Save(vmmID(0), numbered(1, 2, 10))
		d.ends <- syscall.EIO
		d.ends <- nil
		if err := <-first; !errors.Is(err, syscall.EIO) {
			t.Errorf("first: %v", err)
		}
		if err := <-second; err != nil {
			t.Errorf("second: %v", err)
		}
		time.Sleep(time.Hour)
		if gen := loaded(t, l)[vmmID(0)].State.Record.VMM.Gen; gen != 2 {
			t.Errorf("generation %d", gen)
		}
	})
}

// TestReusedID drops a VMM and saves another one of the same id before or while the
// end of the first is written.
func TestReusedID(t *testing.T) {
	t.Parallel()
	for _, lost := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			l := opened(t, newPath(t), Options{BeforeCommit: d.commit})
			d.ends <- nil
			saved(t, l, vmmID(0), numbered(1, 9, 10))
			<-d.begun
			l.Drop(vmmID(0), nil)
			<-d.begun
			done := l.Save(vmmID(0), numbered(2, 1, 10))
			for range lost {
				d.ends <- syscall.EIO
			}
			d.ends <- nil
			d.ends <- nil
			if err := <-done; err != nil && lost < 2 {
				t.Error(err)
			}
			time.Sleep(time.Hour)
			got := loaded(t, l)[vmmID(0)]
			if got.State.Record.VMM.Gen != 1 || got.Registration.Hostname != "2" {
				t.Errorf("%d transactions lost: generation %d of use %s", lost, got.State.Record.VMM.Gen, got.Registration.Hostname)
			}
		})
	}
}

// TestUnwritableEntry: an entry that cannot be encoded affects only its own VMM.
func TestUnwritableEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := opened(t, newPath(t), Options{})
		bad := numbered(1, 1, 10)
		bad.State.Since = time.Unix(math.MaxInt32<<20, 0) // a year that RFC 3339 does not have
		refused, good := l.Save(vmmID(0), bad), l.Save(vmmID(1), numbered(1, 1, 10))
		if err := <-good; err != nil {
			t.Errorf("the other VMM: %v", err)
		}
		if err := <-refused; err == nil {
			t.Error("no error from Save")
		}
		if all := loaded(t, l); len(all) != 1 || l.Trouble() == nil {
			t.Errorf("%d VMMs, trouble: %v", len(all), l.Trouble())
		}
		saved(t, l, vmmID(0), numbered(1, 2, 10))
		if err := l.Trouble(); err != nil {
			t.Errorf("trouble after an entry that could be written: %v", err)
		}
		<-l.Save(vmmID(0), bad)
		l.Drop(vmmID(0), nil)
		dropped := l.Save(vmmID(0), bad)
		synctest.Wait()
		if err := l.Trouble(); err == nil || <-dropped == nil {
			t.Errorf("trouble of an entry that cannot be written after a drop: %v", err)
		}
		l.Drop(vmmID(0), nil)
		synctest.Wait()
		if all := loaded(t, l); len(all) != 1 || l.Trouble() != nil {
			t.Errorf("%d VMMs, trouble: %v", len(all), l.Trouble())
		}
	})
}

func TestCloseWritesWhatIsLeft(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := opened(t, path, Options{BeforeCommit: d.commit})
		first := l.Save(vmmID(0), numbered(1, 1, 10))
		<-d.begun
		second := l.Save(vmmID(0), numbered(1, 2, 10))
		d.ends <- nil
		d.ends <- nil
		closed(t, l)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		if err := <-l.Save(vmmID(0), numbered(1, 3, 10)); !errors.Is(err, errClosed) {
			t.Errorf("saved after Close: %v", err)
		}
		l = opened(t, path, Options{})
		if gen := loaded(t, l)[vmmID(0)].State.Record.VMM.Gen; gen != 2 {
			t.Errorf("generation %d", gen)
		}
	})
}

func TestCloseTellsOfWhatIsLost(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(path, Options{BeforeCommit: func() error { return syscall.ENOSPC }})
		if err != nil {
			t.Fatal(err)
		}
		done := l.Save(vmmID(0), numbered(1, 1, 10))
		if err := l.Close(t.Context()); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("closed: %v", err)
		}
		if err := <-done; !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("received: %v", err)
		}
	})
}

// TestCloseDoesNotWaitForAStuckDisk: Close returns when its context ends, and the
// stuck write may still complete.
func TestCloseDoesNotWaitForAStuckDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := opened(t, newPath(t), Options{BeforeCommit: d.commit})
		done := l.Save(vmmID(0), numbered(1, 1, 10))
		<-d.begun
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begun := time.Now()
		if err := l.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 5*time.Second {
			t.Errorf("closed after %s: %v", time.Since(begun), err)
		}
		quiet(t, done)
		d.ends <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
