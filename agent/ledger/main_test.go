package ledger

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/sledagent/sledagent/agent/vmm"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		hold(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

var limits = vmm.Limits{StopGrace: 10 * time.Minute, MaxStopGrace: time.Hour, StartTimeout: 15 * time.Minute,
	RebootTimeout: 10 * time.Minute}

// bootClock is a boot clock that tests set: it goes where the host's would.
type bootClock struct {
	at   atomic.Int64
	boot string
}

func newClock(boot string, at time.Duration) *bootClock {
	c := &bootClock{boot: boot}
	c.at.Store(int64(at))
	return c
}

func (c *bootClock) Now() time.Duration { return time.Duration(c.at.Load()) }
func (c *bootClock) Boot() string       { return c.boot }

// opened opens a ledger that the test's end closes.
func opened(t testing.TB, path string, o Options) *Ledger {
	t.Helper()
	l, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, l) })
	return l
}

// closed closes a ledger, which may be closed already.
func closed(t testing.TB, l *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), FileName) }

// saved saves an entry and waits until it is on disk.
func saved(t testing.TB, l *Ledger, id uuid.UUID, e Entry) {
	t.Helper()
	if err := told(l.Save(id, e)); err != nil {
		t.Fatalf("save VMM %s: %v", id, err)
	}
}

var errSilent = errors.New("nobody was told within a minute")

func told(done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		return errSilent
	}
}

func loaded(t testing.TB, l *Ledger) map[uuid.UUID]Loaded {
	t.Helper()
	all, err := l.Load(limits)
	if err != nil {
		t.Fatal(err)
	}
	byID := make(map[uuid.UUID]Loaded, len(all))
	for _, e := range all {
		byID[e.ID] = e
	}
	if len(byID) != len(all) {
		t.Fatalf("%d entries of %d VMMs", len(all), len(byID))
	}
	return byID
}
