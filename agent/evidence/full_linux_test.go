package evidence

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A full disk loses what does not fit, leaves no half of a file, and is used again once
// there is space.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("mount a tiny file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	o := options(t, says(strings.Repeat("x", 512<<10)))
	o.Dir = filepath.Join(dir, "evidence")
	s := opened(t, o)
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 768<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	got := collect(t, s, uuid.New(), time.Minute)
	if !errors.Is(got.Err, syscall.ENOSPC) || got.Files != 1 || s.Incomplete() != 1 {
		t.Errorf("on a full disk: %+v", got)
	}
	if files := contents(t, got.Path); len(files) != 1 || files["propolis.txt"] == "" {
		t.Errorf("left: %d files", len(files))
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, s, uuid.New(), time.Minute); got.Err != nil || got.Files != 2 {
		t.Errorf("with space: %+v", got)
	}
}
