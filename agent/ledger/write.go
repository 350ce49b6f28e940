package ledger

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// change is what has to be written of one VMM: its newest entry, or its end.
type change struct {
	entry   *Entry // nil: the VMM is dropped
	waiting []chan<- error
}

// Save begins to make a VMM's entry durable, in the place of an earlier one that
// has not been written yet. The channel yields nil once this entry or a newer
// one is on disk, or the error of the transaction that failed to put it there;
// that is then tried again without anybody being told.
func (l *Ledger) Save(id uuid.UUID, e Entry) <-chan error {
	done := make(chan error, 1)
	l.change(id, &e, done)
	return done
}

// Drop begins to forget a VMM.
func (l *Ledger) Drop(id uuid.UUID) { l.change(id, nil, nil) }

func (l *Ledger) change(id uuid.UUID, e *Entry, done chan<- error) {
	l.mu.Lock()
	c := l.dirty[id]
	if c == nil {
		c = &change{}
		l.dirty[id] = c
	}
	c.entry = e
	if done != nil {
		c.waiting = append(c.waiting, done)
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
			_ = l.flush() // whoever waits is told, and the agent exits
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

// flush writes everything that is dirty in one transaction. What could not be
// written is dirty again, unless something newer is by then.
func (l *Ledger) flush() error {
	l.mu.Lock()
	batch := l.dirty
	l.dirty = map[uuid.UUID]*change{}
	known := maps.Clone(l.known)
	l.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := l.commit(batch, known)
	l.settle(batch, err)
	for _, c := range batch {
		for _, w := range c.waiting {
			w <- err
		}
		c.waiting = nil
	}
	return err
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
			l.dirty[id] = &change{entry: c.entry}
		}
	}
}

func (l *Ledger) commit(batch map[uuid.UUID]*change, known map[uuid.UUID]bool) error {
	now, at, boot := time.Now(), l.clock.Now(), l.clock.Boot()
	err := guarded(l.db.Path(), func() error {
		return l.db.Update(func(tx *bolt.Tx) error {
			vmms := tx.Bucket(vmmsBucket)
			for id, c := range batch {
				if err := put(vmms, id, c.entry, known[id], now, at, boot); err != nil {
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
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

func put(vmms *bolt.Bucket, id uuid.UUID, e *Entry, known bool, now time.Time, at time.Duration, boot string) error {
	key := []byte(id.String())
	if e == nil {
		if err := vmms.DeleteBucket(key); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
		return nil
	}
	b, err := vmms.CreateBucketIfNotExists(key)
	if err != nil {
		return err
	}
	if !known {
		data, err := encodeRegistration(e.Registration)
		if err != nil {
			return err
		}
		if err := b.Put(registryKey, data); err != nil {
			return err
		}
	}
	data, err := encodeState(*e, now, at, boot)
	if err != nil {
		return err
	}
	return b.Put(stateKey, data)
}
