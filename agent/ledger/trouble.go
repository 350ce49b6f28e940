package ledger

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// slowWrite is how long an accepted change may wait for the disk without being
// reported.
const slowWrite = 2 * time.Second

// errSlow is reported while a transaction takes longer than slowWrite.
var errSlow = errors.New("ledger write exceeded " + slowWrite.String())

// A TroubleError reports that an accepted change is not on disk.
type TroubleError struct {
	// Since is when the oldest such change was accepted.
	Since time.Time
	Err   error
}

func (e *TroubleError) Error() string {
	return fmt.Sprintf("not on disk since %s: %v", e.Since.UTC().Format(time.RFC3339), e.Err)
}

func (e *TroubleError) Unwrap() error { return e.Err }

// trouble tracks what is not on disk yet. The caller holds a lock.
type trouble struct {
	// waiting is when the oldest change for the next transaction was accepted, writing
	// the same for the current transaction; zero if there is none.
	waiting, writing time.Time
	// failed is the error of the last transaction, or nil.
	failed error
	// unwritable are VMMs whose newest entry cannot be encoded.
	unwritable map[uuid.UUID]*TroubleError
}

// accepted records that a change was accepted.
func (t *trouble) accepted() {
	if t.waiting.IsZero() {
		t.waiting = time.Now()
	}
}

// begun records that a transaction has taken all waiting changes.
func (t *trouble) begun() { t.writing, t.waiting = t.waiting, time.Time{} }

// ended records the result of the transaction. What it did not write waits again, and
// is older than everything accepted since.
func (t *trouble) ended(err error) {
	if err != nil && !t.writing.IsZero() {
		t.waiting = t.writing
	}
	t.writing, t.failed = time.Time{}, err
}

// now returns the present trouble, or nil.
func (t *trouble) now() error {
	since := t.writing
	if since.IsZero() {
		since = t.waiting
	}
	switch {
	case !since.IsZero() && t.failed != nil:
		return &TroubleError{since, t.failed}
	case !since.IsZero() && time.Since(since) > slowWrite:
		return &TroubleError{since, errSlow}
	}
	for _, err := range t.unwritable {
		return err
	}
	return nil
}

// Trouble returns a *TroubleError while a change accepted by Save or Drop is overdue:
// the last transaction failed, one has taken more than two seconds, or an entry cannot
// be encoded. It returns nil once everything is on disk.
func (l *Ledger) Trouble() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble.now()
}
