package ledger

import (
	"context"
	"errors"
	"io/fs"
	"testing"
)

// TestSettleOffline settles a ledger that no agent has open; a missing one is not
// created.
func TestSettleOffline(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	if err := Settle(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no ledger: %v", err)
	}
	fresh := func() bool {
		t.Helper()
		l, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		was := l.Fresh()
		if err := l.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		return was
	}
	for range 2 {
		if !fresh() {
			t.Error("a new ledger is not fresh")
		}
	}
	if err := Settle(path); err != nil || fresh() {
		t.Errorf("fresh after Settle: %v", err)
	}
}
