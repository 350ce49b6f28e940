package evidence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
)

const (
	// stamp is the time in the name of a collection.
	stamp = "-20060102T150405.000Z"
	// cleanEvery is how often collections are deleted that are too old.
	cleanEvery = time.Hour
	// maxFound bounds the collections that are found at the start.
	maxFound = 20_000
)

// Options configure a Store.
type Options struct {
	// Dir is the directory of the collections. It is made when it is needed.
	Dir string
	// Commands are run for each collection; see config. A program that is not found is left
	// out.
	Commands [][]string
	// MaxSize bounds all collections, in bytes, Keep their age.
	MaxSize int64
	Keep    time.Duration
	// Zones describes processes; nil means that no backend does.
	Zones zone.Inspector
	Log   zerolog.Logger
}

// A Store makes and keeps collections. Its methods are safe for concurrent use.
type Store struct {
	o Options
	// limits are those of Options, unless they were changed.
	limits atomic.Pointer[limits]
	// places has an element for each collection under way.
	places     chan struct{}
	incomplete atomic.Int64
	quit, done chan struct{}
	once       sync.Once

	mu sync.Mutex
	// all are the collections of each VMM, the oldest first.
	all map[uuid.UUID][]entry
}

// limits are what Configure changes.
type limits struct {
	commands *commands
	size     int64
	keep     time.Duration
}

// entry is a collection on disk.
type entry struct {
	id   uuid.UUID
	name string
	at   time.Time
	// size is in bytes; while it is open, that of its room.
	size int64
	open bool
}

// Open returns a store. It does no I/O but looking up programs: collections of an earlier
// agent are found in the background.
func Open(o Options) *Store {
	s := &Store{o: o, places: make(chan struct{}, maxCollections),
		quit: make(chan struct{}), done: make(chan struct{}), all: map[uuid.UUID][]entry{}}
	s.Configure(o.Commands, o.MaxSize, o.Keep)
	go s.run()
	return s
}

// Configure changes the commands and the limits, for collections from now on. It looks up
// programs.
func (s *Store) Configure(commands [][]string, maxSize int64, keep time.Duration) {
	s.limits.Store(&limits{newCommands(commands, s.o.Log), maxSize, keep})
}

// Close ends the store's goroutine within ctx. Collections under way are not waited for.
func (s *Store) Close(ctx context.Context) error {
	s.once.Do(func() { close(s.quit) })
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for evidence: %w", context.Cause(ctx))
	}
}

// Incomplete counts the collections that were not made, or not completely.
func (s *Store) Incomplete() int64 { return s.incomplete.Load() }

// Path returns the newest collection of a VMM, from memory; empty if there is none.
func (s *Store) Path(id uuid.UUID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if all := s.all[id]; len(all) > 0 {
		return filepath.Join(s.o.Dir, all[len(all)-1].name)
	}
	return ""
}

// share is the room of a collection: as many as may be under way fit.
func (s *Store) share() int { return int(min(maxCollection, s.limits.Load().size/maxCollections)) }

// run deletes what is too old.
func (s *Store) run() {
	defer close(s.done)
	s.find()
	s.clean()
	tick := time.NewTicker(cleanEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.clean()
		case <-s.quit:
			return
		}
	}
}

// find looks for the collections of an earlier agent.
func (s *Store) find() {
	dir, err := os.Open(s.o.Dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.o.Log.Warn().Err(err).Msg("failed to look for evidence")
		}
		return
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxFound)
	for _, name := range names {
		if e, ok := parse(name); ok {
			e.size = sizeOf(filepath.Join(s.o.Dir, name))
			s.add(e)
		}
	}
}

// parse reads the name of a collection.
func parse(name string) (e entry, ok bool) {
	const idLength = 36
	if len(name) != idLength+len(stamp) {
		return e, false
	}
	id, err := uuid.Parse(name[:idLength])
	at, bad := time.Parse(stamp, name[idLength:])
	return entry{id: id, name: name, at: at.UTC()}, err == nil && bad == nil
}

// sizeOf sums up the sizes of the files in a directory.
func sizeOf(dir string) (size int64) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			size += info.Size()
		}
	}
	return size
}

// add takes a collection into the list, unless it is in it: one that is begun while the
// earlier ones are looked for is found, too.
func (s *Store) add(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.all[e.id], func(other entry) bool { return other.name == e.name }) {
		return
	}
	s.all[e.id] = append(s.all[e.id], e)
	slices.SortFunc(s.all[e.id], func(a, b entry) int { return a.at.Compare(b.at) })
}

// begin makes the directory of a collection, and room for it.
func (s *Store) begin(e entry) (*os.Root, error) {
	s.add(e)
	s.clean()
	path := filepath.Join(s.o.Dir, e.name)
	err := os.MkdirAll(s.o.Dir, 0o700)
	if err == nil {
		err = os.Mkdir(path, 0o700)
	}
	if err != nil {
		s.drop(e)
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		s.end(e.id, e.name, 0, 0)
	}
	return root, err
}

// end sets the size of a complete collection, and removes one without files.
func (s *Store) end(id uuid.UUID, name string, size int64, files int) {
	s.mu.Lock()
	all := s.all[id]
	i := slices.IndexFunc(all, func(e entry) bool { return e.name == name })
	all[i].size, all[i].open = size, false
	e := all[i]
	s.mu.Unlock()
	if files == 0 {
		s.drop(e)
		_ = os.Remove(filepath.Join(s.o.Dir, name))
	}
}

// drop takes a collection out of the list.
func (s *Store) drop(e entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[e.id] = slices.DeleteFunc(s.all[e.id], func(other entry) bool { return other.name == e.name })
	if len(s.all[e.id]) == 0 {
		delete(s.all, e.id)
	}
}

// clean deletes what exceeds the limits. What cannot be deleted stays in the list, and is
// tried again.
func (s *Store) clean() {
	for _, e := range s.surplus(time.Now()) {
		if err := os.RemoveAll(filepath.Join(s.o.Dir, e.name)); err != nil {
			s.o.Log.Warn().Err(err).Msg("failed to delete evidence; will retry")
			continue
		}
		s.drop(e)
	}
}

// surplus returns the collections to delete, the oldest first, but none that is open.
func (s *Store) surplus(now time.Time) (out []entry) {
	limits := s.limits.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []entry
	var used int64
	for _, of := range s.all {
		for _, e := range of {
			used += e.size
			if !e.open {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return a.at.Compare(b.at) })
	for _, e := range all {
		if used <= limits.size && now.Sub(e.at) <= limits.keep {
			break
		}
		used -= e.size
		out = append(out, e)
	}
	return out
}
