package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
)

const (
	// Quota is what a Context's limit is a share of, in bytes. It is a number of its own
	// and not the size of the file system, which the ledger is on as well.
	Quota = 1 << 30
	// maxBundles bounds the number of bundles whatever their size.
	maxBundles = 1000
	// maxWaiting is how many ends may wait to be made into bundles. One takes some
	// 50 KB of memory, at most 500 KB.
	maxWaiting = 256
	// maxJobs is how many deletions and cleanups may wait.
	maxJobs = 16
	// lostLines is the limit of log lines per second about lost bundles.
	lostLines = 5
)

// Errors that callers branch on.
var (
	ErrUnknown     = errors.New("no such bundle")
	ErrUnavailable = errors.New("bundles are not available")
)

// A Store keeps bundles in a directory. Its methods are safe for concurrent use.
type Store struct {
	dir string
	log zerolog.Logger
	// ends wait to be made into bundles, jobs are what callers wait for.
	ends chan Evidence
	jobs chan func()
	lost atomic.Int64
	quit chan struct{}
	done chan struct{}
	once sync.Once

	// root belongs to the store's goroutine; nil until the directory could be opened.
	root *os.Root

	mu sync.Mutex
	// trouble is why there is no list.
	trouble error
	all     map[ID]entry
	context Context
}

// Open returns a store in a directory, which is made when it is needed. It does no I/O:
// the bundles become available once they were found.
func Open(dir string, log zerolog.Logger) *Store {
	s := &Store{dir: dir, log: log.Sample(&zerolog.BurstSampler{Burst: lostLines, Period: time.Second}),
		ends: make(chan Evidence, maxWaiting), jobs: make(chan func(), maxJobs),
		quit: make(chan struct{}), done: make(chan struct{}),
		trouble: errors.New("they are being looked for"), all: map[ID]entry{}, context: defaultContext}
	go s.run()
	return s
}

// Close makes the bundles that are waiting and ends the store's goroutine within ctx.
func (s *Store) Close(ctx context.Context) error {
	s.once.Do(func() { close(s.quit) })
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for zone bundles: %w", context.Cause(ctx))
	}
}

// Add makes a bundle. It returns at once; the bundle is lost if too many are waiting.
func (s *Store) Add(e Evidence) {
	select {
	case s.ends <- e:
	default:
		s.lose(e.Zone, fmt.Errorf("%d are waiting to be written", maxWaiting))
	}
}

func (s *Store) lose(zone string, err error) {
	s.lost.Add(1)
	s.log.Warn().Err(err).Str("zone", zone).Msg("zone bundle is lost")
}

// Lost counts the bundles that could not be made.
func (s *Store) Lost() int64 { return s.lost.Load() }

// Dir is the directory of the bundles.
func (s *Store) Dir() string { return s.dir }

// List lists all bundles, by zone and from the oldest to the newest, from memory.
func (s *Store) List() ([]Metadata, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil {
		return nil, s.unavailable()
	}
	list := make([]Metadata, 0, len(s.all))
	for _, e := range s.all {
		list = append(list, e.Metadata)
	}
	slices.SortFunc(list, inOrder)
	return list, nil
}

// unavailable says why there are no bundles. s.mu is held.
func (s *Store) unavailable() error { return fmt.Errorf("%w: %w", ErrUnavailable, s.trouble) }

// Used returns the size of all bundles, in bytes.
func (s *Store) Used() (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil {
		return 0, s.unavailable()
	}
	var used int64
	for _, e := range s.all {
		used += e.size
	}
	return used, nil
}

// Context returns the settings of the cleanup.
func (s *Store) Context() Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.context
}

// Update changes the settings of the cleanup; with an error it changes nothing.
func (s *Store) Update(u Update) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := u.apply(s.context)
	if err == nil {
		s.context = next
	}
	return err
}

// Read opens a bundle. It may take as long as the disk does.
func (s *Store) Read(id ID) (_ io.ReadCloser, size int64, err error) {
	if err := s.find(id); err != nil {
		return nil, 0, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	file, err := openFile(root, fileName(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, ErrUnknown // it was deleted meanwhile
	} else if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// find returns an error unless there is such a bundle.
func (s *Store) find(id ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble != nil {
		return s.unavailable()
	}
	if _, ok := s.all[id]; !ok {
		return ErrUnknown
	}
	return nil
}

// Delete deletes a bundle.
func (s *Store) Delete(ctx context.Context, id ID) error {
	return s.do(ctx, func() error {
		if err := s.find(id); err != nil {
			return err
		}
		return s.remove(id)
	})
}

// A Count is what a cleanup has deleted (CleanupCount on the wire).
type Count struct {
	Bundles uint64 `json:"bundles"`
	Bytes   uint64 `json:"bytes"`
}

// Cleanup deletes the least important bundles until the rest is within the limit.
func (s *Store) Cleanup(ctx context.Context) (count Count, err error) {
	counted := make(chan Count, 1)
	err = s.do(ctx, func() error {
		count, err := s.clean()
		counted <- count
		return err
	})
	if err == nil {
		count = <-counted
	}
	return count, err
}

// do has the store's goroutine do something, and waits for it.
func (s *Store) do(ctx context.Context, job func() error) error {
	result := make(chan error, 1)
	select {
	case s.jobs <- func() { result <- job() }:
	default:
		return fmt.Errorf("%w: %d calls are waiting for the disk", ErrUnavailable, maxJobs)
	}
	select {
	case err := <-result:
		return err
	case <-s.done:
		return fmt.Errorf("%w: the agent exits", ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// run is the store's goroutine.
func (s *Store) run() {
	defer close(s.done)
	defer func() {
		if s.root != nil {
			_ = s.root.Close()
		}
	}()
	s.open()
	if s.root != nil {
		s.cleanNow() // the last agent may have been killed before
	}
	cleaned := time.Now()
	tick := time.NewTicker(minPeriod)
	defer tick.Stop()
	for {
		select {
		case e := <-s.ends:
			s.make(e)
		case job := <-s.jobs:
			s.open()
			job()
		case <-tick.C:
			s.open()
			if time.Since(cleaned) >= s.Context().Period {
				s.cleanNow()
				cleaned = time.Now()
			}
		case <-s.quit:
			for len(s.ends) > 0 {
				s.make(<-s.ends)
			}
			return
		}
	}
}

// make makes a bundle of an end, and deletes others if there is no room for it.
func (s *Store) make(e Evidence) {
	s.open()
	if _, err := s.List(); err != nil {
		s.lose(e.Zone, err)
		return
	}
	now := time.Now().UTC()
	made := entry{Metadata: Metadata{ID: ID{e.Zone, uuid.New()}, Created: now, Cause: e.Cause}}
	var err error
	if made.size, err = s.write(made.Metadata, e); err != nil {
		s.lose(e.Zone, err)
		if errors.Is(err, os.ErrNotExist) { // the directory was removed
			_ = s.root.Close()
			s.root = nil
		}
		return
	}
	s.mu.Lock()
	s.all[made.ID] = made
	s.mu.Unlock()
	s.cleanNow()
}

func (s *Store) cleanNow() {
	if count, err := s.clean(); err != nil {
		s.log.Warn().Err(err).Msg("failed to clean up zone bundles; will retry")
	} else if count.Bundles > 0 {
		s.log.Info().Uint64("bundles", count.Bundles).Uint64("bytes", count.Bytes).Msg("cleaned up zone bundles")
	}
}

// clean deletes the bundles beyond the limits.
func (s *Store) clean() (count Count, err error) {
	s.mu.Lock()
	c, all := s.context, slices.Collect(maps.Values(s.all))
	if s.trouble != nil {
		err = s.unavailable()
	}
	s.mu.Unlock()
	if err != nil {
		return count, err
	}
	var errs []error
	for _, e := range surplus(all, c.Priority, c.Available(), maxBundles) {
		if err := s.remove(e.ID); err != nil {
			errs = append(errs, err)
			continue
		}
		count.Bundles++
		count.Bytes += uint64(e.size)
	}
	return count, errors.Join(errs...)
}
