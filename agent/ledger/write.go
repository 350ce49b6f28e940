package ledger

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var (
	// errClosed is what who saves after the end is told.
	errClosed = errors.New("ledger is closed")
	// errStuck is what the longest waiting are told of a disk that does nothing.
	errStuck = errors.New("ledger's disk does not get on")
)

// maxWaiting bounds how many saves of one VMM may wait for one transaction.
const maxWaiting = 32

// change is what has to be written of one VMM: its newest entry, or its end.
type change struct {
	entry *Entry // nil: the VMM is dropped
	// anew is set once the VMM was dropped: what the ledger still holds of that
	// id is not of the VMM that an entry tells of.
	anew    bool
	waiting []chan<- error
	docs    docs
}

// docs are an entry's values on disk; registration is nil if it is there already.
type docs struct{ registration, state []byte }

// wait has one more told what becomes of the change.
func (c *change) wait(done chan<- error) {
	if len(c.waiting) == maxWaiting {
		c.waiting[0] <- errStuck
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
	c.waiting = append(c.waiting, done)
}

func (c *change) tell(err error) {
	for _, w := range c.waiting {
		w <- err
	}
	c.waiting = nil
}

// Save begins to make a VMM's entry durable, in the place of an earlier one that
// has not been written yet. The channel yields nil once this entry or a newer
// one is on disk, or the error of the transaction that failed to put it there;
// that is then tried again without anybody being told. An error comes also to
// whoever has waited while many more saves of this VMM have begun.
func (l *Ledger) Save(id uuid.UUID, e Entry) <-chan error {
	done := make(chan error, 1)
	l.change(id, &e, done)
	return done
}

// Drop begins to forget a VMM.
func (l *Ledger) Drop(id uuid.UUID) { l.change(id, nil, nil) }

func (l *Ledger) change(id uuid.UUID, e *Entry, done chan<- error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		if done != nil {
			done <- errClosed
		}
		return
	}
	c := l.dirty[id]
	if c == nil {
		c = &change{}
		l.dirty[id] = c
	}
	c.entry, c.anew = e, c.anew || e == nil
	if done != nil {
		c.wait(done)
	}
	l.mu.Unlock()
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// write is the goroutine that writes.
func (l *Ledger) write() {
	defer close(l.done)
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(100*time.Millisecond),
		backoff.WithMaxInterval(10*time.Second), backoff.WithMaxElapsedTime(0))
	var retry <-chan time.Time
	for {
		select {
		case <-l.poke:
		case <-retry:
		case <-l.closing.Done():
			l.finish()
			return
		}
		retry = nil
		if l.flush() != nil {
			retry = time.After(pause.NextBackOff())
			continue
		}
		pause.Reset()
	}
}

// finish writes what is left, once: whoever waits is told, and the agent exits.
func (l *Ledger) finish() {
	err := l.flush()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.last = true, err
	for _, c := range l.dirty {
		c.tell(errClosed)
	}
}

// flush writes everything that is dirty in one transaction. What could not be
// written is dirty again, unless something newer is by then.
func (l *Ledger) flush() error {
	l.mu.Lock()
	batch := l.dirty
	l.dirty = map[uuid.UUID]*change{}
	known := maps.Clone(l.known)
	l.mu.Unlock()
	l.encode(batch, known)
	if len(batch) == 0 {
		return nil
	}
	err := l.commit(batch)
	l.settle(batch, err)
	for _, c := range batch {
		c.tell(err)
	}
	return err
}

// encode makes the values that a transaction will put. An entry that cannot be
// written down is none of the others' trouble: it leaves the batch, and it would
// fare no better another time. That its id was dropped before still holds.
func (l *Ledger) encode(batch map[uuid.UUID]*change, known map[uuid.UUID]bool) {
	now, at, boot := time.Now(), l.clock.Now(), l.clock.Boot()
	for id, c := range batch {
		if c.entry == nil {
			continue
		}
		var err error
		if c.docs.state, err = encodeState(*c.entry, now, at, boot); err == nil && (c.anew || !known[id]) {
			c.docs.registration, err = encodeRegistration(c.entry.Registration)
		}
		if err != nil {
			err = fmt.Errorf("encode entry of VMM %s: %w", id, err)
			l.log.Error().Err(err).Msg("a VMM's state cannot be kept")
			c.tell(err)
			if c.entry = nil; !c.anew {
				delete(batch, id)
			}
		}
	}
}

// settle takes down what a transaction has come to.
func (l *Ledger) settle(batch map[uuid.UUID]*change, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if (err == nil) != (l.trouble == nil) {
		l.log.Warn().AnErr("trouble", err).Msg("the ledger's disk has changed its mind")
	}
	l.trouble = err
	for id, c := range batch {
		switch {
		case err == nil && c.entry == nil:
			delete(l.known, id)
		case err == nil:
			l.known[id] = true
		case l.dirty[id] == nil:
			l.dirty[id] = &change{entry: c.entry, anew: c.anew}
		default:
			l.dirty[id].anew = l.dirty[id].anew || c.anew
		}
	}
}

func (l *Ledger) commit(batch map[uuid.UUID]*change) error {
	if l.broken != nil {
		return l.broken
	}
	err := guarded(l.db.Path(), func() error {
		return l.db.Update(func(tx *bolt.Tx) error {
			vmms := tx.Bucket(vmmsBucket)
			for id, c := range batch {
				if err := c.put(vmms, id); err != nil {
					return fmt.Errorf("VMM %s: %w", id, err)
				}
			}
			if l.before != nil {
				return l.before()
			}
			return nil
		})
	})
	if err != nil {
		err = fmt.Errorf("write ledger: %w", err)
	}
	if errors.Is(err, ErrDamaged) {
		l.broken = err
	}
	return err
}

func (c *change) put(vmms *bolt.Bucket, id uuid.UUID) error {
	key := []byte(id.String())
	if c.anew {
		if err := vmms.DeleteBucket(key); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
	}
	if c.entry == nil {
		return nil
	}
	b, err := vmms.CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	if c.docs.registration != nil {
		if err := b.Put(registryKey, seal(key, registryKey, c.docs.registration)); err != nil {
			return err
		}
	}
	return b.Put(stateKey, seal(key, stateKey, c.docs.state))
}
