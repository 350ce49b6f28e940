package disposition

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/sledagent/sledagent/internal/bootclock"
	"github.com/sledagent/sledagent/internal/bounded"
)

// The files in the state directory.
const (
	operatorFile = "operator-drain.json"
	configFile   = "omicron-sled-config.json"
)

// writeBudget bounds the wait for the disk.
const writeBudget = 5 * time.Second

// A Store holds the disposition. Its methods are safe for concurrent use.
type Store struct {
	dir   string // "" for none: nothing is kept
	clock bootclock.Clock
	// writing has a token while a file is being written, which may hang.
	writing chan struct{}

	mu  sync.Mutex
	now State
}

// Open returns the Store of a state directory. Files that cannot be read are doubts of
// its State.
func Open(dir string, clock bootclock.Clock) *Store {
	s := &Store{dir: dir, clock: clock, writing: make(chan struct{}, 1)}
	s.now.Operator, s.now.OperatorDoubt = load(s.path(operatorFile), func(d *Drain) bool { return d.By != "" && d.Grace >= 0 })
	s.now.Config, s.now.ConfigDoubt = load(s.path(configFile), func(c *Config) bool {
		return (c.Disposition == Available || c.Disposition == Evacuating) && len(c.Body) > 0
	})
	return s
}

// NewMemory returns a Store that keeps nothing across restarts.
func NewMemory(clock bootclock.Clock) *Store {
	return &Store{clock: clock, writing: make(chan struct{}, 1)}
}

func (s *Store) path(file string) string { return filepath.Join(s.dir, file) }

// load reads a file, which may be absent. The doubt says why it could not.
func load[T any](path string, valid func(*T) bool) (value *T, doubt string) {
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ""
	}
	if err == nil {
		value = new(T)
		err = json.Unmarshal(text, value)
	}
	if err == nil && !valid(value) {
		err = errors.New("members are missing or have no meaning")
	}
	if err != nil {
		return nil, fmt.Sprintf("%s cannot be read: %v", path, err)
	}
	return value, ""
}

// State returns the disposition.
func (s *Store) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *Store) change(f func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.now)
}

// Remaining returns how much is left of a drain's grace.
func (s *Store) Remaining(d *Drain) time.Duration { return d.Remaining(s.clock) }

// Begin drains the sled. A repeated drain may bring the deadline forward, never push it
// back. It is in force at once, and on disk after a Save.
func (s *Store) Begin(by string, grace time.Duration) {
	boot, _ := s.clock.Boot() // an unknown boot is no other boot
	fresh := Drain{By: by, Since: time.Now().UTC(), Grace: grace, Deadline: s.clock.Now() + grace, Boot: boot}
	s.change(func(now *State) {
		if old := now.Operator; old != nil {
			fresh.By, fresh.Since = old.By, old.Since
			if !bootclock.Differ(boot, old.Boot) && old.Deadline <= fresh.Deadline {
				fresh = *old
				now.Operator = &fresh // a new request, which an undrain under way does not end
				return
			}
		}
		now.Operator, now.OperatorDoubt, now.Unsaved = &fresh, "", "it is being written"
	})
}

// Save writes a drain that is not on disk.
func (s *Store) Save(ctx context.Context) error {
	if s.State().Unsaved == "" {
		return nil
	}
	err := s.exclusively(ctx, s.saveDrain)
	if err != nil {
		s.change(func(now *State) {
			if now.Unsaved != "" {
				now.Unsaved = err.Error()
			}
		})
	}
	return err
}

// saveDrain writes the present drain, if there is one.
func (s *Store) saveDrain() error {
	wrote := s.State().Operator
	if wrote == nil {
		return nil // undrained meanwhile
	}
	if err := s.write(operatorFile, wrote); err != nil {
		return err
	}
	s.change(func(now *State) {
		if now.Operator == wrote {
			now.Unsaved = ""
		}
	})
	return nil
}

// Undrain ends the operator's drain. A drain that is requested meanwhile stays.
func (s *Store) Undrain(ctx context.Context) error { return s.undrain(ctx, s.State().Operator) }

func (s *Store) undrain(ctx context.Context, was *Drain) error {
	return s.exclusively(ctx, func() error {
		if err := s.remove(operatorFile); err != nil {
			return err
		}
		s.change(func(now *State) {
			if now.Operator == was {
				now.Operator, now.OperatorDoubt, now.Unsaved = nil, "", ""
			} else {
				now.Unsaved = "its file was removed by an earlier undrain"
			}
		})
		return s.saveDrain()
	})
}

// Configure keeps Nexus's sled configuration. It returns a *StaleError if it is not newer
// than the one that is kept, unless both are equal.
func (s *Store) Configure(ctx context.Context, c Config) error {
	return s.exclusively(ctx, func() error {
		if have := s.State().Config; have != nil && c.Generation <= have.Generation {
			switch {
			case c.Generation < have.Generation || c.Disposition != have.Disposition:
				return &StaleError{Have: have.Generation, Got: c.Generation}
			case c.APIVersion == have.APIVersion && sameJSON(c.Body, have.Body):
				return nil
			case c.APIVersion <= have.APIVersion:
				return &StaleError{Have: have.Generation, Got: c.Generation}
			}
			// An updated Nexus sends the same configuration in its newer shape.
		}
		if err := s.write(configFile, c); err != nil {
			return err
		}
		s.change(func(now *State) { now.Config, now.ConfigDoubt = &c, "" })
		return nil
	})
}

// sameJSON compares two documents by their contents. Numbers are compared as text.
func sameJSON(a, b json.RawMessage) bool {
	x, errX := decoded(a)
	y, errY := decoded(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

func decoded(text []byte) (value any, err error) {
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	err = in.Decode(&value)
	return value, err
}

// exclusively calls f, which may hang, and waits for it until ctx ends. Only one f runs at
// a time, so that a disk that hangs takes one goroutine.
func (s *Store) exclusively(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, writeBudget, errSlow)
	defer cancel()
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := bounded.Do(ctx, func() error {
		defer func() { <-s.writing }()
		return f()
	})
	return err
}

var errSlow = fmt.Errorf("writing to the state directory takes longer than %s", writeBudget)
