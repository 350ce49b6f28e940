package ledger

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// TestFileThatShrinks cuts the file while it is open, so that bbolt faults on
// memory that has nothing behind it. That is an error like any other.
func TestFileThatShrinks(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		saved(t, l, vmmID(n), numbered(n, 1, 3000))
	}
	if err := os.Truncate(path, int64(2*pageSize)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(limits); !errors.Is(err, ErrDamaged) {
		t.Errorf("loaded: %v", err)
	}
	for gen := uint64(2); gen < 5; gen++ {
		if err := told(l.Save(vmmID(3), numbered(3, gen, 10))); !errors.Is(err, ErrDamaged) {
			t.Errorf("saved: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); !errors.Is(err, ErrDamaged) {
		t.Errorf("closed: %v", err)
	}
}
