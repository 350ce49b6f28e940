package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestFileThatShrinks truncates the files while they are open. A missing registration is
// an ordinary error; the rest is rewritten.
func TestFileThatShrinks(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := opened(t, path, Options{})
	for n := range 20 {
		saved(t, l, vmmID(n), numbered(n, 1, 3000))
	}
	for name := range imageOf(t, path) {
		if err := os.Truncate(filepath.Join(filepath.Dir(path), name), 1000); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(l, limits); !errors.Is(err, ErrDamaged) {
		t.Errorf("loaded: %v", err)
	}
	for gen := uint64(2); gen < 5; gen++ {
		saved(t, l, vmmID(3), numbered(3, gen, 10))
	}
	closed(t, l)
	l = opened(t, path, Options{})
	if all, err := l.States(limits); len(all) != 20 || err != nil || l.Lost() != "" {
		t.Errorf("%d VMMs, %v, lost: %q", len(all), err, l.Lost())
	}
}
