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

// A crashed is a ledger that is saved to, dropped from, flushed and cut off at
// random, beside a map that knows what it must hold.
type crashed struct {
	l    *Ledger
	path string
	copy string // where images of the file are opened
	sick bool   // whether the next transaction fails

	life, gen int
	lives     map[uuid.UUID]int    // of VMMs that are known
	newest    map[uuid.UUID]string // what was saved
	durable   map[uuid.UUID]string // what is on disk
	waiting   []<-chan error
}

func newCrashed(t *rapid.T, dir string) *crashed {
	c := &crashed{path: filepath.Join(dir, FileName), copy: filepath.Join(dir, "copy.db"), lives: map[uuid.UUID]int{},
		newest: map[uuid.UUID]string{}, durable: map[uuid.UUID]string{}}
	_ = os.Remove(c.path) // of an earlier round
	l, err := Open(c.path, Options{BeforeCommit: func() error {
		if c.sick {
			return syscall.EIO
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	// The test itself is the writer, so that it knows what is in a transaction.
	l.cancel()
	<-l.done
	l.closed = false
	c.l = l
	return c
}

func (c *crashed) save(t *rapid.T) {
	id := vmmID(rapid.IntRange(0, 5).Draw(t, "vmm"))
	if c.lives[id] == 0 {
		c.life++
		c.lives[id] = c.life
	}
	c.gen++
	spec := rapid.SampledFrom([]int{0, 300, 3000, 20000}).Draw(t, "spec")
	c.waiting = append(c.waiting, c.l.Save(id, numbered(c.lives[id], uint64(c.gen), spec)))
	c.newest[id] = fmt.Sprint(c.lives[id], " ", c.gen)
}

func (c *crashed) drop(t *rapid.T) {
	id := vmmID(rapid.IntRange(0, 5).Draw(t, "vmm"))
	c.l.Drop(id)
	delete(c.newest, id)
	delete(c.lives, id)
}

// flush makes everything durable, or nothing of it, and loses power at a moment
// that it draws.
func (c *crashed) flush(t *rapid.T) {
	c.sick = rapid.IntRange(0, 4).Draw(t, "sick") == 0
	before, was := c.read(t), c.durable
	err := c.l.flush()
	after := c.read(t)
	if err == nil {
		c.durable = maps.Clone(c.newest)
	} else if !c.sick || !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	for _, w := range c.waiting {
		if told := <-w; !errors.Is(told, err) {
			t.Fatalf("told %v of %v", told, err)
		}
	}
	c.waiting = nil
	c.holds(t, "after the transaction", after, c.durable)
	c.holds(t, "cut off in its data", tornData(t, before, after), was)
	c.holds(t, "cut off at its end", tornMeta(t, before, after), was, c.durable)
}

func (c *crashed) read(t *rapid.T) []byte {
	file, err := os.ReadFile(c.path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// holds opens an image and compares it with what it may hold: one or the other
// as a whole.
func (c *crashed) holds(t *rapid.T, when string, image []byte, want ...map[uuid.UUID]string) {
	write(t, c.copy, image)
	l, err := Open(c.copy, Options{})
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	all, err := l.Load(limits)
	l.cancel()
	<-l.done
	if err := errors.Join(err, l.db.Close()); err != nil {
		t.Fatalf("%s: %v", when, err)
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

// tornData is the file as a power cut leaves it before the first sync of a
// transaction: of what that wrote to data pages any sectors may be there, and
// nothing of the meta pages, which are written after that sync.
func tornData(t *rapid.T, before, after []byte) []byte {
	image := bytes.Clone(before)
	if rapid.Bool().Draw(t, "grown") {
		image = append(image, make([]byte, len(after)-len(before))...)
	}
	for at := 2 * pageSize; at < len(image); at += sector {
		if !bytes.Equal(image[at:at+sector], after[at:at+sector]) && rapid.Bool().Draw(t, "sector") {
			copy(image[at:], after[at:at+sector])
		}
	}
	return image
}

// tornMeta is the file as a power cut leaves it between the syncs: all data is
// there, and the meta page up to some byte.
func tornMeta(t *rapid.T, before, after []byte) []byte {
	image := bytes.Clone(after)
	copy(image, before[:2*pageSize])
	for page := 0; page < 2*pageSize; page += pageSize {
		if !bytes.Equal(before[page:page+pageSize], after[page:page+pageSize]) {
			n := rapid.IntRange(0, pageHeader+metaLen).Draw(t, "bytes")
			copy(image[page:page+n], after[page:])
		}
	}
	return image
}

// TestCrashAtAnyWrite is the ledger's promise: what was acknowledged is there
// after a crash or a power cut at any moment, and of a transaction that was
// under way all or nothing. It is that of a disk that keeps what it has synced.
func TestCrashAtAnyWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		c := newCrashed(t, dir)
		defer c.l.db.Close() // only read from here on
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
