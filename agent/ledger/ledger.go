package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	bolt "go.etcd.io/bbolt"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bootclock"
)

// Errors that say why a ledger cannot be used. Its file has not been touched.
var (
	// ErrDamaged: the file is not a whole ledger.
	ErrDamaged = errors.New("ledger is damaged")
	// ErrNewer: it was written by a newer version of the agent.
	ErrNewer = errors.New("ledger is from a newer version")
)

// FileName is the ledger's name in the state directory.
const FileName = "ledger.db"

// lockTimeout is how long Open waits for another process that has the file
// open, such as one that is checking it.
const lockTimeout = time.Second

var (
	metaBucket  = []byte("meta")
	vmmsBucket  = []byte("vmms")
	schemaKey   = []byte("schema")
	stateKey    = []byte("state")
	registryKey = []byte("registration")
)

// Options change how a ledger works. The zero value is fit for use.
type Options struct {
	Log zerolog.Logger
	// BeforeCommit, if set, runs before each transaction is committed, and its
	// error is the transaction's: a disk that fails or is slow, for tests.
	BeforeCommit func() error
	// Clock is the host's boot clock; bootclock.Host by default.
	Clock bootclock.Clock
}

// A Ledger is open for writing. Its methods are safe for concurrent use.
type Ledger struct {
	db      *bolt.DB
	log     zerolog.Logger
	before  func() error
	clock   bootclock.Clock
	poke    chan struct{}
	closing context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	// broken is why bbolt must not be called any more: it has panicked in a
	// transaction, and holds its own lock for ever. Only write sets it.
	broken error

	mu      sync.Mutex
	dirty   map[uuid.UUID]*change
	known   map[uuid.UUID]bool // VMMs whose registration is on disk
	trouble error              // why the last transaction failed; nil if it did not
	closed  bool               // nothing is written any more
	last    error              // why the last thing was not written
}

// Open opens the ledger at path or makes a new one.
func Open(path string, o Options) (*Ledger, error) {
	if o.Clock == nil {
		o.Clock = bootclock.Host()
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("make ledger %s: %w", path, err)
		}
	}
	db, err := open(path, false)
	if err != nil {
		return nil, err
	}
	if err := guarded(path, func() error { return migrate(db) }); err != nil {
		return nil, errors.Join(fmt.Errorf("ledger %s: %w", path, err), db.Close())
	}
	l := &Ledger{db: db, log: o.Log, before: o.BeforeCommit, clock: o.Clock, poke: make(chan struct{}, 1),
		done: make(chan struct{}), dirty: map[uuid.UUID]*change{}, known: map[uuid.UUID]bool{}}
	l.closing, l.cancel = context.WithCancel(context.Background())
	go l.write()
	return l, nil
}

// create makes an empty ledger under another name first, so that a file of the
// right name is always a whole one.
func create(path string) error {
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bolt.Open(temp, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	if err := errors.Join(db.Update(initialise), db.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func initialise(tx *bolt.Tx) error {
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(vmmsBucket); err != nil {
		return err
	}
	return putVersion(meta, schema)
}

// open opens a file that exists and holds that it is a whole ledger of a version
// that is known. It writes nothing.
func open(path string, readOnly bool) (db *bolt.DB, err error) {
	// A look that cannot write comes first: bbolt repairs nothing, but its
	// writable open touches the file.
	if err := inspect(path); err != nil {
		return nil, err
	}
	err = guarded(path, func() (err error) {
		db, _, err = openBolt(path, bolt.Options{ReadOnly: readOnly})
		return err
	})
	return db, err
}

// Loaded is an Entry as it was read at the start.
type Loaded struct {
	ID uuid.UUID
	Entry
	// HostRebooted is set if the host has booted since the entry was written.
	HostRebooted bool
}

// Load reads every VMM. The limits are the agent's present ones.
func (l *Ledger) Load(limits vmm.Limits) (all []Loaded, err error) {
	err = guarded(l.db.Path(), func() error {
		return l.db.View(func(tx *bolt.Tx) error {
			return eachEntry(tx, l.clock, limits, func(e Loaded, err error) error {
				if err != nil {
					return fmt.Errorf("%s: %w: VMM %s: %w", l.db.Path(), ErrDamaged, e.ID, err)
				}
				all = append(all, e)
				return nil
			})
		})
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range all {
		l.known[e.ID] = true
	}
	return all, err
}

// eachEntry decodes the VMMs one by one; found decides what an error means.
func eachEntry(tx *bolt.Tx, clock bootclock.Clock, limits vmm.Limits, found func(Loaded, error) error) error {
	now, at, boot := time.Now(), clock.Now(), clock.Boot()
	vmms := tx.Bucket(vmmsBucket)
	return vmms.ForEachBucket(func(key []byte) error {
		e, err := decodeEntry(key, vmms.Bucket(key).Get, now, at, boot, limits)
		return found(e, err)
	})
}

// decodeEntry decodes a VMM's values, which get returns by their keys.
func decodeEntry(id []byte, get func([]byte) []byte, now time.Time, at time.Duration, boot string, limits vmm.Limits) (e Loaded, err error) {
	if e.ID, err = uuid.ParseBytes(id); err != nil {
		return e, fmt.Errorf("key %q: %w", id, err)
	}
	registration, err := unseal(id, registryKey, get(registryKey))
	if err != nil {
		return e, err
	}
	state, err := unseal(id, stateKey, get(stateKey))
	if err != nil {
		return e, err
	}
	if e.Entry, e.HostRebooted, err = decodeState(state, now, at, boot, limits); err != nil {
		return e, err
	}
	e.Registration, err = decodeRegistration(registration)
	return e, err
}

// Close writes what is left, if the disk lets it within ctx, and closes the file.
// Its error is why something is not on disk. What is saved from then on is not
// written, and who saves it is told.
func (l *Ledger) Close(ctx context.Context) error {
	l.cancel()
	select {
	case <-l.done:
		if l.broken != nil {
			return l.broken
		}
		return errors.Join(l.last, l.db.Close())
	case <-ctx.Done():
		return fmt.Errorf("close ledger: a write is stuck: %w", context.Cause(ctx))
	}
}

// Trouble is why the last transaction failed; nil while the disk is well.
func (l *Ledger) Trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}
