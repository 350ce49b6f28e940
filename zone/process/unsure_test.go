//go:build linux

package process

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// A start that does not learn whether its zone exists says so, and not that it has failed for good.
func TestStartIsUnsure(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	ctx, name := ctxFor(t), prefix+"unsure"
	create(t, m, name)
	hidden := filepath.Join(t.TempDir(), "zones")
	if err := os.Rename(m.dir, hidden); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Create(ctx, spec(prefix+"other")); !errors.Is(err, zone.ErrUnsure) {
		t.Errorf("create: %v", err)
	}
	if err := errors.Join(os.Remove(m.dir), os.Rename(hidden, m.dir)); err != nil {
		t.Fatal(err)
	}
	if err := m.Remove(ctx, zone.RungUninstall, name); err != nil {
		t.Error(err)
	}
}
