package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bootclock"
)

// Reasons why a ledger cannot be used. Its file has not been changed.
var (
	// ErrDamaged: the file is not a ledger, or part of it cannot be read.
	ErrDamaged = errors.New("ledger is damaged")
	// ErrNewer: it was written by a newer version of the agent.
	ErrNewer = errors.New("ledger is from a newer version")
)

// FileName is the name of the ledger's main file in the state directory.
const FileName = "ledger.db"

// The other names in the state directory.
const (
	endedName         = "ended.db"
	registrationsName = "registrations"
)

// Options configure a ledger. The zero value is valid.
type Options struct {
	Log zerolog.Logger
	// BeforeCommit, if set, runs before each transaction, which fails with its
	// error. Tests simulate a slow or failing disk with it.
	BeforeCommit func() error
	// Clock is the host's boot clock; bootclock.Host by default.
	Clock bootclock.Clock
	// KeepEnded is how long the last Status of an ended VMM is kept; 7 days by default.
	KeepEnded time.Duration
}

// A Ledger is a ledger open for writing. Its methods are safe for concurrent use.
type Ledger struct {
	*ended
	*store
	logger  zerolog.Logger
	before  func() error
	clock   bootclock.Clock
	poke    chan struct{}
	closing context.Context
	cancel  context.CancelFunc
	done    chan struct{}
	// unnamed is set once the boot id could not be read.
	unnamed atomic.Bool
	fresh   atomic.Bool

	mu       sync.Mutex
	dirty    map[uuid.UUID]*change
	settling bool // the fresh mark is to be removed
	trouble  trouble
	closed   bool  // nothing is written after this
	last     error // why the last write failed
}

// Open opens the ledger at path or creates one. An undamaged one is not written until
// something is saved. A damaged one is rewritten from what can be read, and the old
// file is kept (see Lost).
func Open(path string, o Options) (*Ledger, error) {
	if o.Clock == nil {
		o.Clock = bootclock.Host()
	}
	// A dangling link is a ledger that cannot be reached, for example on an unmounted disk.
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		l := logFile{path: path}
		if err := l.replace(newBatch(newContents().texts()), ""); err != nil {
			return nil, fmt.Errorf("make ledger %s: %w", path, err)
		}
		l.forget()
	}
	d, err := openStore(path)
	if err != nil {
		return nil, err
	}
	d.recover(o.Log)
	if d.contents.lost == "" {
		d.regs.sweep(d.vmms) // of writes that failed
	}
	l := &Ledger{ended: newEnded(o.KeepEnded, d.ends), store: d, logger: o.Log, before: o.BeforeCommit, clock: o.Clock,
		poke: make(chan struct{}, 1), done: make(chan struct{}), dirty: map[uuid.UUID]*change{},
		trouble: trouble{unwritable: map[uuid.UUID]*TroubleError{}}}
	l.fresh.Store(d.fresh != "")
	l.closing, l.cancel = context.WithCancel(context.Background())
	go l.write()
	return l, nil
}

// recover rewrites a ledger that is damaged or of an older schema. If the disk fails,
// the first save tries again.
func (d *store) recover(logger zerolog.Logger) {
	if d.endsDamaged > 0 {
		logger.Warn().Int("entries", d.endsDamaged).Msg("dropped damaged entries of VMMs that have ended")
	}
	if d.damaged > 0 {
		d.contents.lost = strings.TrimPrefix(fmt.Sprintf("%s; %d in %s", d.contents.lost, d.damaged, d.keep), "; ")
		d.contents.fresh = cmp.Or(d.contents.fresh, now())
		logger.Error().Int("entries", d.damaged).Int("vmms", len(d.vmms)).Str("old", d.keep).
			Msg("ledger is damaged; starting with the VMMs that can be read")
	}
	var err error
	if d.older > 0 {
		err = d.upgrade()
	} else if d.damaged > 0 {
		err = d.rewrite(d.contents)
	}
	if err != nil {
		logger.Error().Err(err).Msg("failed to rewrite the ledger; will retry")
	}
}

// Lost describes what could not be read when the ledger was rewritten after damage: the
// number of entries, and the name of the damaged file. It is empty if there was no
// damage, or once an operator settled or repaired the ledger. Until then an id that the
// ledger does not hold may belong to a lost VMM.
func (l *Ledger) Lost() string {
	l.contentsMu.Lock()
	defer l.contentsMu.Unlock()
	return l.contents.lost
}

// Loaded is an Entry as read at the start.
type Loaded struct {
	ID uuid.UUID
	Entry
	// HostRebooted is set if the host is known to have booted since the entry was
	// written: both boot ids are known and comparable.
	HostRebooted bool
	// Size is the size of the VMM's registration in the ledger, in bytes.
	Size int
}

// States reads every VMM without its registration, which is all that deadlines, stops
// and answers need. limits are the agent's current ones. The time it takes does not depend on
// the size of registrations. Open has set aside what is damaged, so that one entry that cannot
// be decoded keeps no other from being read: an error means that this agent cannot read what it
// has checked.
func (l *Ledger) States(limits vmm.Limits) (all []Loaded, err error) {
	l.contentsMu.Lock()
	held := l.contents.clone()
	l.contentsMu.Unlock()
	boot, now, at := l.boot(), time.Now(), l.clock.Now()
	for _, id := range held.ids() {
		v := held.vmms[id]
		e := Loaded{ID: id, Size: v.at.size}
		if e.Entry, e.HostRebooted, err = decodeState([]byte(v.state), now, at, boot, limits); err != nil {
			return nil, fmt.Errorf("%s: %w: VMM %s: %w", l.log.path, ErrDamaged, id, err)
		}
		all = append(all, e)
	}
	return all, nil
}

// stored returns what is on disk of a VMM.
func (l *Ledger) stored(id uuid.UUID) (stored, bool) {
	l.contentsMu.Lock()
	defer l.contentsMu.Unlock()
	v, ok := l.vmms[id]
	return v, ok
}

// Keeps reports whether a VMM's registration is on disk, for Registration to read.
func (l *Ledger) Keeps(id uuid.UUID) bool {
	_, ok := l.stored(id)
	return ok
}

// errNoRegistration is for a VMM that is not on disk.
var errNoRegistration = errors.New("no registration on disk")

// Registration reads the registration of a VMM that is on disk. Only Registration
// fails if it is damaged: the VMM can be stopped and removed without it.
func (l *Ledger) Registration(id uuid.UUID) (r *vmm.Registration, err error) {
	v, ok := l.stored(id)
	if ok {
		r, err = l.registration(v)
	} else {
		err = errNoRegistration
	}
	if err != nil {
		return nil, fmt.Errorf("%s: VMM %s: %w", l.log.path, id, err)
	}
	return r, nil
}

// boot returns the id of this boot, or "" while it cannot be read. Each call reads it
// again; a failure is logged once.
func (l *Ledger) boot() string {
	id, err := l.clock.Boot()
	if err != nil && !l.unnamed.Swap(true) {
		l.logger.Warn().Err(err).Msg("the boot id of the host cannot be read; will retry")
	}
	if err != nil {
		return ""
	}
	return id
}

// Close writes what is left, within ctx, and closes the files. Its error is why
// something is not on disk. A later Save fails.
func (l *Ledger) Close(ctx context.Context) error {
	l.cancel()
	select {
	case <-l.done:
		return l.last
	case <-ctx.Done():
		return fmt.Errorf("close ledger: a write is stuck: %w", context.Cause(ctx))
	}
}
