package ledger

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	bolt "go.etcd.io/bbolt"
)

// TestDamagedEndsAreLeftOut: the agent starts, the damage is logged, the file is kept,
// and the next write is without the damaged entries.
func TestDamagedEndsAreLeftOut(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	saved(t, l, vmmID(9), numbered(9, 1, 10))
	good, bad := lastOf(vmmID(0), 1), lastOf(vmmID(1), 1)
	bad.Hostname = "damaged-one"
	l.Drop(good.ID, good)
	l.Drop(bad.ID, bad)
	closed(t, l)
	l = opened(t, path, Options{}) // its first write makes one batch of them all
	l.Drop(vmmID(2), lastOf(vmmID(2), 1))
	closed(t, l)
	files := imageOf(t, path)
	for name, damaged := range map[string][]byte{
		"a letter": bytes.ReplaceAll(files[endedName], []byte("damaged-one"), []byte("Damaged-one")),
		"a length": bytes.TrimRight(files[endedName], "\x00"),
		"all":      make([]byte, 5000),
		"nothing":  {},
	} {
		path := files.with(endedName, damaged).put(t, t.TempDir())
		var log bytes.Buffer
		l := opened(t, path, Options{Log: zerolog.New(&log)})
		if _, ok := l.Ended(good.ID); ok != (name == "a letter" || name == "a length") {
			t.Errorf("%s: another is there: %t", name, ok)
		}
		if n := strings.Count(log.String(), `"level":"warn"`); n != 1 || !strings.Contains(log.String(), `"entries":1`) {
			t.Errorf("%s: logged: %s", name, &log)
		}
		if l.Lost() != "" || len(loaded(t, l)) != 1 {
			t.Errorf("%s: lost: %q", name, l.Lost())
		}
		last := lastOf(vmmID(7), 1)
		l.Drop(last.ID, last)
		closed(t, l)
		if n, err := Check(path); n != 1 || err != nil {
			t.Errorf("%s: %d VMMs, %v", name, n, err)
		}
		if old, _ := filepath.Glob(filepath.Join(filepath.Dir(path), endedName+".damaged-*")); len(old) != 1 {
			t.Errorf("%s: kept: %v", name, old)
		}
		log.Reset()
		l = opened(t, path, Options{Log: zerolog.New(&log)})
		if _, ok := l.Ended(last.ID); !ok || log.Len() > 0 {
			t.Errorf("%s: the next is there: %t; logged again: %s", name, ok, &log)
		}
	}
}

// TestDamagedEndsOfAnOlderLedger are left out, too.
func TestDamagedEndsOfAnOlderLedger(t *testing.T) {
	t.Parallel()
	files, _ := kept(t, 2)
	path := files.put(t, t.TempDir())
	changeBolt(t, path, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("ended_ids"))
		if _, err := b.CreateBucket([]byte("bucket")); err != nil {
			return err
		}
		return b.Put([]byte("short"), []byte("x"))
	})
	l := opened(t, path, Options{KeepEnded: keepKept})
	endedIs(t, l, lastOf(keptEnd, 3))
	if n := len(loaded(t, l)); n != len(keptEntries()) || l.Lost() != "" {
		t.Errorf("%d VMMs, lost: %q", n, l.Lost())
	}
}

// TestRepairKeepsEnds: they are in a file of their own.
func TestRepairKeepsEnds(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	saved(t, l, vmmID(9), numbered(9, 1, 10))
	last := lastOf(vmmID(0), 1)
	l.Drop(last.ID, last)
	closed(t, l)
	if r, err := Repair(path); err != nil || r.Kept != 1 || r.Lost != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	endedIs(t, opened(t, path, Options{}), last)
}
