package evidence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/bounded"
	"github.com/sledagent/sledagent/internal/plain"
)

const (
	// maxCollections bounds the collections under way, also those that hang. The host has
	// other work then: deadlines of other VMMs may be due.
	maxCollections = 4
	// maxCollection bounds a collection, in bytes, and maxParts its files.
	maxCollection = 8 << 20
	maxParts      = 256
	// maxProcesses bounds the processes that are described.
	maxProcesses = 64
	// lastPart is the share of the time that remains after commands are ended, to keep what
	// they have printed.
	lastPart = 10
)

// A Subject is what a collection is about.
type Subject struct {
	ID   uuid.UUID
	Zone string
	// Files are parts that are known already; they are kept first.
	Files []File
}

// A File is a part of a collection. Its name is valid.
type File struct {
	Name string
	Text []byte
}

// A Collected is the outcome of a collection.
type Collected struct {
	// Path is the directory; empty if there is none. Files counts what was kept in it.
	Path  string
	Files int
	// Err says what is missing; nil if nothing is.
	Err error
}

// Collect makes a collection. It returns when that is complete or ctx has ended, which must
// have a deadline; what hangs then is left behind, and keeps nothing more.
func (s *Store) Collect(ctx context.Context, about Subject) Collected {
	c := &collection{store: s, ctx: ctx, about: about, room: s.share()}
	select {
	case s.places <- struct{}{}:
	case <-ctx.Done():
		return c.outcome(fmt.Errorf("not begun: %d others are under way", maxCollections))
	}
	late, err := bounded.Do(ctx, func() error {
		defer func() { <-s.places }()
		defer c.end()
		return c.make()
	})
	if late {
		err = errors.New("not complete in time")
	}
	return c.outcome(err)
}

// A collection is one that is being made.
type collection struct {
	store *Store
	ctx   context.Context
	about Subject

	mu sync.Mutex
	// dir is the name of the directory; empty until it was made.
	dir  string
	root *os.Root
	// room is what may still be kept, size what was kept, in bytes.
	room  int
	size  int64
	files int
	errs  []error
}

// make collects all parts, those that may hang beside each other. It returns when all
// have.
func (c *collection) make() error {
	if err := c.open(); err != nil {
		return err
	}
	for _, f := range c.about.Files {
		c.keep(f.Name, f.Text)
	}
	at, _ := c.ctx.Deadline()
	ctx, cancel := context.WithDeadlineCause(c.ctx, at.Add(-time.Until(at)/lastPart), errors.New("the time is over"))
	defer cancel()
	pids, err := c.processes(ctx)
	c.note(err)
	var parts sync.WaitGroup
	if c.store.o.Zones != nil && len(pids) > 0 {
		parts.Go(func() { c.note(c.store.o.Zones.Inspect(ctx, pids, c.keep)) })
	}
	c.store.limits.Load().commands.run(ctx, c, pids, &parts)
	parts.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.errs...)
}

func (c *collection) processes(ctx context.Context) ([]int, error) {
	if c.store.o.Zones == nil {
		return nil, nil
	}
	return c.store.o.Zones.Processes(ctx, c.about.Zone, maxProcesses)
}

// open makes the directory.
func (c *collection) open() error {
	made := time.Now().UTC()
	name := c.about.ID.String() + made.Format(stamp)
	root, err := c.store.begin(entry{id: c.about.ID, name: name, at: made, size: int64(c.room), open: true})
	if err != nil {
		return fmt.Errorf("make a directory for evidence: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dir, c.root = name, root
	return nil
}

// keep keeps a part, unless the time is over, there is no room, or it is empty.
func (c *collection) keep(name string, text []byte) {
	room := c.reserve(name, len(text))
	if room == 0 {
		return
	}
	text = []byte(plain.Text(string(text), room))
	err := c.write(name, text)
	if err != nil {
		text = nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room += room - len(text)
	c.size += int64(len(text))
	if err != nil {
		c.errs = append(c.errs, err)
	} else {
		c.files++
	}
}

// reserve takes room for a text, or for its beginning; 0 if it is not to be kept.
func (c *collection) reserve(name string, size int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case size == 0 || c.ctx.Err() != nil:
		return 0
	case c.room == 0 || c.files >= maxParts:
		c.errs = append(c.errs, fmt.Errorf("%s: left out, since there is too much", name))
		return 0
	}
	room := min(size, c.room)
	c.room -= room
	return room
}

// write writes a file that does not exist. What cannot be written completely is removed.
func (c *collection) write(name string, text []byte) error {
	f, err := c.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keep evidence: %w", err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = c.root.Remove(name)
		return fmt.Errorf("keep evidence: %w", err)
	}
	return nil
}

// note records why something is missing.
func (c *collection) note(err error) {
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.errs = append(c.errs, err)
	}
}

// outcome is what there is by now. One that is incomplete is counted, unless it is not
// wanted any more.
func (c *collection) outcome(err error) Collected {
	if err != nil && !errors.Is(c.ctx.Err(), context.Canceled) {
		c.store.incomplete.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := Collected{Files: c.files, Err: err}
	if c.files > 0 {
		out.Path = filepath.Join(c.store.o.Dir, c.dir)
	}
	return out
}

// end gives back what was reserved. A collection without files is removed.
func (c *collection) end() {
	c.mu.Lock()
	root, name, size, files := c.root, c.dir, c.size, c.files
	c.mu.Unlock()
	if root != nil {
		_ = root.Close()
		c.store.end(c.about.ID, name, size, files)
	}
}
