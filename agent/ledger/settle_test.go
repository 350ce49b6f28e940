package ledger

import (
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
		l := opened(t, path, Options{})
		defer closed(t, l)
		return l.Fresh()
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
