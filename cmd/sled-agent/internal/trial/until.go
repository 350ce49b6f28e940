package trial

import (
	"context"
	"testing"
	"time"
)

// Patience is how long a test waits for what should happen soon. It is generous:
// what has a bound of its own is measured.
const Patience = 30 * time.Second

// Until polls until holds returns "". What it returns otherwise says what is
// still missing, for the failure.
func Until(t testing.TB, within time.Duration, holds func() (missing string)) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := holds()
		if missing == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after %v still: %s", within, missing)
		}
	}
}

// Bounded returns a context for one wait.
func Bounded(t testing.TB, within time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return ctx
}
