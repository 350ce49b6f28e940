package ledger

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

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
	RebootTimeout: 10 * time.Minute, SoftStop: true}

// bootClock is a boot clock that advances with time. Its boot id cannot be read if it is
// empty.
type bootClock struct {
	at    atomic.Int64
	boot  string
	asked atomic.Int64
}

func newClock(boot string, at time.Duration) *bootClock {
	c := &bootClock{boot: boot}
	c.at.Store(int64(at))
	return c
}

func (c *bootClock) Now() time.Duration { return time.Duration(c.at.Load()) }

func (c *bootClock) Boot() (string, error) {
	c.asked.Add(1)
	if c.boot == "" {
		return "", errNoBoot
	}
	return c.boot, nil
}

var errNoBoot = errors.New("no boot id")

// opened opens a ledger, which the end of the test closes.
func opened(t testing.TB, path string, o Options) *Ledger {
	t.Helper()
	l, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(t, l) })
	return l
}

// closed closes a ledger, also one that is closed already.
func closed(t testing.TB, l *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

// memory returns a directory in memory, if possible, for tests that open many ledgers.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ledger-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), FileName) }

// saved saves an entry and waits until it is on disk.
func saved(t testing.TB, l *Ledger, id uuid.UUID, e Entry) {
	t.Helper()
	if err := waitFor(l.Save(id, e)); err != nil {
		t.Fatalf("save VMM %s: %v", id, err)
	}
}

var errNoResult = errors.New("no result within a minute")

func waitFor(done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		return errNoResult
	}
}

// An image is a copy of a ledger's files, by name.
type image map[string][]byte

func imageOf(t rapid.TB, path string) image {
	t.Helper()
	files := image{}
	for _, pattern := range []string{"*", registrationsName + "/*"} {
		names, err := filepath.Glob(filepath.Join(filepath.Dir(path), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if errors.Is(err, syscall.EISDIR) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(filepath.Dir(path), name)
			if err != nil {
				t.Fatal(err)
			}
			files[rel] = data
		}
	}
	return files
}

// with returns the image with one file replaced.
func (i image) with(name string, data []byte) image {
	i = maps.Clone(i)
	i[name] = data
	return i
}

// put writes the files to a directory and returns the ledger's path.
func (i image) put(t rapid.TB, dir string) string {
	t.Helper()
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(filepath.Join(dir, registrationsName), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, data := range i {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, FileName)
}

// load reads every VMM with its registration.
func load(l *Ledger, limits vmm.Limits) ([]Loaded, error) {
	all, err := l.States(limits)
	for i := range all {
		if err == nil {
			all[i].Registration, err = l.Registration(all[i].ID)
		}
	}
	return all, err
}

func loaded(t testing.TB, l *Ledger) map[uuid.UUID]Loaded {
	t.Helper()
	all, err := load(l, limits)
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
