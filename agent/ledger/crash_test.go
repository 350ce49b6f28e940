package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// A crashed is a ledger with random saves, drops, flushes and power cuts, and a model of
// what it must hold.
type crashed struct {
	l       *Ledger
	path    string
	copy    string // directory in which images of its files are opened
	failing bool   // whether the next transaction fails

	use, gen int
	uses     map[uuid.UUID]int    // number of uses of each id
	newest   map[uuid.UUID]string // last saved
	durable  map[uuid.UUID]string // on disk
	waiting  []<-chan error
}

func newCrashed(t *rapid.T, dir string) *crashed {
	c := &crashed{path: filepath.Join(dir, "ledger", FileName), copy: filepath.Join(dir, "copy"), uses: map[uuid.UUID]int{},
		newest: map[uuid.UUID]string{}, durable: map[uuid.UUID]string{}}
	if err := errors.Join(os.RemoveAll(filepath.Dir(c.path)), os.Mkdir(filepath.Dir(c.path), 0o700)); err != nil {
		t.Fatal(err)
	}
	l, err := Open(c.path, Options{BeforeCommit: func() error {
		if c.failing {
			return syscall.EIO
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	// The test itself writes, so that it knows what is in a transaction.
	l.cancel()
	<-l.done
	l.closed = false
	c.l = l
	return c
}

func (c *crashed) save(t *rapid.T) {
	id := vmmID(rapid.IntRange(0, 5).Draw(t, "vmm"))
	if c.uses[id] == 0 {
		c.use++
		c.uses[id] = c.use
	}
	c.gen++
	spec := rapid.SampledFrom([]int{0, 300, 3000, 20000}).Draw(t, "spec")
	c.waiting = append(c.waiting, c.l.Save(id, numbered(c.uses[id], uint64(c.gen), spec)))
	c.newest[id] = fmt.Sprint(c.uses[id], " ", c.gen)
}

func (c *crashed) drop(t *rapid.T) {
	id := vmmID(rapid.IntRange(0, 5).Draw(t, "vmm"))
	c.l.Drop(id, nil)
	delete(c.newest, id)
	delete(c.uses, id)
}

// flush makes everything or nothing durable, and checks images of a power cut at random
// moments.
func (c *crashed) flush(t *rapid.T) {
	c.failing = rapid.IntRange(0, 4).Draw(t, "failing") == 0
	before, was := imageOf(t, c.path), c.durable
	err := c.l.flush()
	after := imageOf(t, c.path)
	if err == nil {
		c.durable = maps.Clone(c.newest)
	} else if !c.failing || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	for _, w := range c.waiting {
		if got := <-w; !errors.Is(got, err) {
			t.Fatalf("received %v, want %v", got, err)
		}
	}
	c.waiting = nil
	c.holds(t, "after the transaction", after, c.durable)
	c.holds(t, "cut off", torn(t, before, after), was, c.durable)
	if err == nil && rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
		// Force a rewrite, as after some failures.
		c.l.log.forget()
	}
}

// holds opens an image and verifies that it equals one of the wanted states as a whole.
func (c *crashed) holds(t *rapid.T, when string, files image, want ...map[uuid.UUID]string) {
	l, err := Open(files.put(t, c.copy), Options{})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	all, err := load(l, limits)
	l.cancel()
	<-l.done
	if err != nil || l.Lost() != "" {
		t.Fatalf("%s: %v, lost: %q", when, err, l.Lost())
	}
	got := map[uuid.UUID]string{}
	for _, e := range all {
		got[e.ID] = fmt.Sprint(e.Registration.Hostname, " ", e.State.Record.VMM.Gen)
	}
	for _, w := range want {
		if maps.Equal(got, w) {
			return
		}
	}
	t.Fatalf("%s: it holds %v, want one of %v", when, got, want)
}

const sector = 512

// torn returns what a power cut leaves in the middle of a transaction. A new file, or a
// rewritten ledger.db, is either complete (it is synced before ledger.db refers to it)
// or absent. Of appended data any subset of sectors may be there, and the file may have
// grown or not. Removed files may still be there.
func torn(t *rapid.T, before, after image) image {
	was, is := before[FileName], after[FileName]
	if rapid.Bool().Draw(t, "early") {
		return before
	}
	files := maps.Clone(before)
	maps.Copy(files, after)
	if !bytes.Equal(was[:headerLen], is[:headerLen]) || bytes.Count(is, []byte(" commit ")) == 1 {
		if rapid.Bool().Draw(t, "renamed") {
			return files
		}
		return files.with(FileName, was)
	}
	ledger := bytes.Clone(was)
	if rapid.Bool().Draw(t, "grown") {
		ledger = append(ledger, make([]byte, len(is)-len(was))...)
	}
	for at := 0; at < len(ledger); at += sector {
		if !bytes.Equal(ledger[at:at+sector], is[at:at+sector]) && rapid.Bool().Draw(t, "sector") {
			copy(ledger[at:at+sector], is[at:])
		}
	}
	return files.with(FileName, ledger)
}

// TestCrashAtAnyWrite verifies the ledger's main promise, for a disk that keeps what it
// has synced: after a crash or power cut at any moment, acknowledged entries are there,
// and of the current transaction all or nothing.
func TestCrashAtAnyWrite(t *testing.T) {
	t.Parallel()
	dir := memory(t)
	rapid.Check(t, func(t *rapid.T) {
		c := newCrashed(t, dir)
		defer c.l.store.close()
		for range rapid.IntRange(1, 3).Draw(t, "flushes") {
			for range rapid.IntRange(0, 8).Draw(t, "changes") {
				if rapid.IntRange(0, 3).Draw(t, "drop") == 0 {
					c.drop(t)
				} else {
					c.save(t)
				}
			}
			c.flush(t)
		}
	})
}
