package ledger

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// troubled compares a ledger's trouble with the expected one.
func troubled(t *testing.T, l *Ledger, when string, want error, since time.Time) {
	t.Helper()
	synctest.Wait()
	var got *TroubleError
	err := l.Trouble()
	if want == nil && err != nil || want != nil && (!errors.Is(err, want) || !errors.As(err, &got) || !got.Since.Equal(since)) {
		t.Errorf("%s: trouble: %v; want %v since %s", when, err, want, since)
	}
}

// TestTroubleIsWhatIsNotOnDisk: trouble begins when a transaction fails or does not
// end, and ends exactly when everything is on disk.
func TestTroubleIsWhatIsNotOnDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l := opened(t, newPath(t), Options{BeforeCommit: d.commit})
		troubled(t, l, "nothing was saved", nil, time.Time{})
		first := time.Now()
		l.Save(vmmID(0), numbered(1, 1, 10))
		time.Sleep(slowWrite)
		troubled(t, l, "a write takes its time", nil, time.Time{})
		time.Sleep(time.Millisecond)
		troubled(t, l, "a write is stuck", errSlow, first)
		l.Save(vmmID(1), numbered(1, 1, 10))
		d.ends <- nil
		troubled(t, l, "it has ended; the next one is young", nil, time.Time{})
		d.ends <- nil
		troubled(t, l, "all is on disk", nil, time.Time{})
	})
}

// TestTroubleLastsAsLongAsTheDiskFails, for saves and drops, since the oldest of them
// was accepted.
func TestTroubleLastsAsLongAsTheDiskFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Pointer[syscall.Errno]
		l := opened(t, newPath(t), Options{BeforeCommit: func() error {
			if err := failing.Load(); err != nil {
				return *err
			}
			return nil
		}})
		for _, do := range []func(){
			func() { l.Save(vmmID(0), numbered(1, 2, 10)) },
			func() { l.Drop(vmmID(0), nil) },
		} {
			fails, changes := syscall.ENOSPC, syscall.EIO
			since := time.Now()
			failing.Store(&fails)
			do()
			troubled(t, l, "a write has failed", fails, since)
			time.Sleep(time.Second)
			failing.Store(&changes)
			l.Save(vmmID(1), numbered(1, 2, 10))
			troubled(t, l, "and another", changes, since)
			time.Sleep(time.Minute)
			failing.Store(nil)
			time.Sleep(15 * time.Second)
			troubled(t, l, "the disk has recovered", nil, time.Time{})
		}
	})
}

// TestStallLeavesNoTrouble: trouble ends when a stuck write succeeds, without another
// save.
func TestStallLeavesNoTrouble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := opened(t, newPath(t), Options{BeforeCommit: func() error {
			time.Sleep(time.Minute)
			return nil
		}})
		begun := time.Now()
		l.Save(vmmID(0), numbered(1, 1, 10))
		l.Save(vmmID(1), numbered(1, 1, 10))
		time.Sleep(59 * time.Second)
		troubled(t, l, "stuck", errSlow, begun)
		time.Sleep(2 * time.Second)
		troubled(t, l, "done", nil, time.Time{})
	})
}
