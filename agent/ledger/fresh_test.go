package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestFreshUntilSettled: a ledger stays fresh across restarts and changes until it is
// settled, and is never fresh again.
func TestFreshUntilSettled(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	for n := range 3 {
		l := opened(t, path, Options{})
		if !l.Fresh() {
			t.Errorf("not fresh at start %d", n)
		}
		saved(t, l, vmmID(n), numbered(n, 1, 10))
		if n > 0 {
			l.Drop(vmmID(n-1), nil)
		}
		closed(t, l)
	}
	l := opened(t, path, Options{})
	l.Settle()
	if l.Fresh() {
		t.Error("fresh after Settle")
	}
	l.Settle()
	closed(t, l)
	for range 2 {
		l := opened(t, path, Options{})
		if l.Fresh() || len(loaded(t, l)) != 1 {
			t.Error("fresh again, or a VMM was lost")
		}
		closed(t, l)
	}
}

// TestKeptFilesAreNotFresh: the ledger of an earlier agent holds every zone.
func TestKeptFilesAreNotFresh(t *testing.T) {
	t.Parallel()
	files, _ := kept(t, 1)
	if opened(t, files.put(t, t.TempDir()), Options{}).Fresh() {
		t.Error("fresh")
	}
}

// TestSettleIsRetried: it returns at once whatever the disk does. If the mark was not
// removed, the ledger is fresh at the next start.
func TestSettleIsRetried(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		l, err := Open(path, Options{BeforeCommit: d.commit})
		if err != nil {
			t.Fatal(err)
		}
		l.Settle()
		d.ends <- syscall.EIO
		synctest.Wait()
		d.ends <- syscall.EIO
		if err := l.Close(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("closed: %v", err)
		}
		l = opened(t, path, Options{BeforeCommit: d.commit})
		if !l.Fresh() {
			t.Error("not fresh, though the mark could not be removed")
		}
		l.Settle()
		d.ends <- syscall.EIO
		d.ends <- nil
		time.Sleep(time.Minute)
		closed(t, l)
		l = opened(t, path, Options{})
		if l.Fresh() {
			t.Error("the mark was not removed when the disk had recovered")
		}
	})
}

// TestRepairedLedgerIsFresh: what it lost is unknown.
func TestRepairedLedgerIsFresh(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	saved(t, l, vmmID(0), numbered(0, 1, 10))
	l.Settle()
	closed(t, l)
	if _, err := Repair(path); err != nil {
		t.Fatal(err)
	}
	l = opened(t, path, Options{})
	if !l.Fresh() || len(loaded(t, l)) != 1 {
		t.Error("not fresh, or the VMM is missing")
	}
}

// TestDanglingLinkIsNotReplaced: the ledger may be on a disk that is not mounted.
func TestDanglingLinkIsNotReplaced(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if err := os.Symlink(filepath.Join(t.TempDir(), "none", FileName), path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened: %v", err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("%v, %v", info, err)
	}
}
