package ledger

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

var (
	// errClosed is the result of a Save after Close.
	errClosed = errors.New("ledger is closed")
	// errStuck is the result of the oldest waiting Save if the disk makes no progress.
	errStuck = errors.New("ledger writes make no progress")
)

// maxWaiting bounds how many saves of one VMM may wait for one transaction.
const maxWaiting = 32

// change is what is to be written of one VMM: its newest entry, or its end.
type change struct {
	entry *Entry // nil: the VMM is dropped
	// anew is set once the VMM was dropped: what is on disk under this id belongs
	// to an earlier VMM.
	anew bool
	// lost is set if there is no entry because it could not be encoded.
	lost bool
	// last is the end of the VMM that was dropped, if it is to be kept.
	last    *end
	waiting []chan<- error
	docs    docs
	// at is where the registration is, if an earlier attempt has written it.
	at *ref
}

// docs are an entry's encoded values; registration is nil if it is on disk already.
type docs struct{ registration, state []byte }

// wait adds a channel that receives the result of the change.
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

// Save begins to make a VMM's entry durable and replaces an earlier one that is not
// written yet. The channel yields nil once this entry or a newer one is on disk, or the
// error of the transaction that failed. A failed write is retried without a further
// report; a caller that no longer wants it calls Drop. The oldest waiting Save of a VMM
// fails when more than maxWaiting are waiting.
func (l *Ledger) Save(id uuid.UUID, e Entry) <-chan error {
	done := make(chan error, 1)
	l.change(id, &e, nil, done)
	return done
}

// Drop begins to remove a VMM. If last is not nil, the VMM counts as ended at once, and
// on disk with the same transaction.
func (l *Ledger) Drop(id uuid.UUID, last *vmm.Status) {
	var ending *end
	if last != nil {
		e := l.ended.add(*last)
		ending = &e
	}
	l.change(id, nil, ending, nil)
}

func (l *Ledger) change(id uuid.UUID, e *Entry, last *end, done chan<- error) {
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
	c.entry, c.anew, c.lost = e, c.anew || e == nil, false
	if e == nil {
		c.at = nil
	}
	if last != nil {
		c.last = last
	}
	l.trouble.accepted()
	if done != nil {
		c.wait(done)
	}
	l.mu.Unlock()
	l.wake()
}

// wake makes the writer check for changes.
func (l *Ledger) wake() {
	select {
	case l.poke <- struct{}{}:
	default:
	}
}

// write is the writer goroutine.
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

// finish writes what is left, once. Saves that still wait fail.
func (l *Ledger) finish() {
	err := l.flush()
	l.store.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.last = true, err
	for _, c := range l.dirty {
		c.tell(errClosed)
	}
}

// flush writes all changes in one transaction. If it fails they are dirty again,
// except where a newer change has been accepted since.
func (l *Ledger) flush() error {
	l.mu.Lock()
	b := batch{changes: l.dirty, settle: l.settling}
	l.dirty, l.settling = map[uuid.UUID]*change{}, false
	l.trouble.begun()
	l.mu.Unlock()
	l.encode(b.changes)
	var err error
	if len(b.changes) > 0 || b.settle {
		err = l.commit(b)
	}
	l.written(b, err)
	for _, c := range b.changes {
		c.tell(err)
	}
	return err
}

// batch is the changes of one transaction.
type batch struct {
	changes map[uuid.UUID]*change
	settle  bool
}

// encode encodes the entries of a transaction. An entry that cannot be encoded is
// removed from the batch, so that the others are written; a retry would fail as well.
// If its id was dropped before, the drop remains.
func (l *Ledger) encode(batch map[uuid.UUID]*change) {
	now, at, boot := time.Now(), l.clock.Now(), l.boot()
	for id, c := range batch {
		if c.entry == nil {
			continue
		}
		var err error
		if c.docs.state, err = encodeState(*c.entry, now, at, boot); err == nil && (c.anew || !l.Keeps(id)) {
			c.docs.registration, err = encodeRegistration(c.entry.Registration)
		}
		if err != nil {
			err = fmt.Errorf("encode entry of VMM %s: %w", id, err)
			l.logger.Error().Err(err).Msg("the state of a VMM cannot be written")
			l.unwritable(id, err)
			c.tell(err)
			c.lost = true
			if c.entry = nil; !c.anew {
				delete(batch, id)
			}
		}
	}
}

// unwritable records that a VMM's entry cannot be written.
func (l *Ledger) unwritable(id uuid.UUID, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.trouble.unwritable[id] == nil {
		l.trouble.unwritable[id] = &TroubleError{Since: l.trouble.writing, Err: err}
	}
}

// written records the result of a transaction.
func (l *Ledger) written(b batch, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil && l.trouble.failed == nil:
		l.logger.Warn().Err(err).Msg("ledger writes are failing; will retry")
	case err == nil && l.trouble.failed != nil:
		l.logger.Warn().Msg("ledger writes recovered")
	}
	l.trouble.ended(err)
	l.settling = l.settling || err != nil && b.settle
	for id, c := range b.changes {
		switch {
		case err == nil && !c.lost:
			delete(l.trouble.unwritable, id)
		case err == nil:
		case l.dirty[id] == nil:
			l.dirty[id] = &change{entry: c.entry, anew: c.anew, lost: c.lost, last: c.last, at: c.at}
		default:
			newer := l.dirty[id]
			if !newer.anew {
				newer.at = c.at
			}
			newer.anew = newer.anew || c.anew
			if newer.last == nil {
				newer.last = c.last
			}
		}
	}
}

// commit makes a batch durable.
func (l *Ledger) commit(b batch) (err error) {
	if l.before != nil {
		err = l.before()
	}
	if err == nil {
		err = l.put(b)
	}
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return nil
}

// put writes registrations first, since states refer to them, and ends before their
// VMMs are dropped.
func (l *Ledger) put(b batch) error {
	if l.older > 0 { // the upgrade at the start failed
		if err := l.upgrade(); err != nil {
			return err
		}
	}
	docs := map[uuid.UUID][]byte{}
	for id, c := range b.changes {
		if c.docs.registration != nil && c.at == nil {
			docs[id] = c.docs.registration
		}
	}
	at, err := l.regs.add(docs)
	if err != nil {
		return err
	}
	for id, where := range at {
		b.changes[id].at = &where
	}
	var texts []string
	var ends []end
	dropped := false
	for id, c := range b.changes {
		if c.last != nil {
			ends = append(ends, *c.last)
		}
		if dropped = dropped || c.anew; c.anew {
			texts = append(texts, dropText(id))
		}
		if c.entry == nil {
			continue
		}
		v, _ := l.stored(id)
		if c.at != nil {
			v.at = *c.at
		}
		v.state = string(c.docs.state)
		texts = append(texts, stateText(id, v))
	}
	if b.settle {
		texts = append(texts, settledText)
	}
	if err := l.writeEnds(ends, l.ended.all); err != nil {
		return err
	}
	if err := l.store.write(texts); err != nil {
		return err
	}
	if dropped && l.contents.lost == "" { // else a file may belong to a lost VMM
		l.regs.sweep(l.vmms)
	}
	return nil
}
