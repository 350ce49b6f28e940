package qemu

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A copy has its name only once it is complete. It takes the place of an unfinished one, and of no
// other file.
func TestPart(t *testing.T) {
	t.Parallel()
	source := filepath.Join(t.TempDir(), "disk.raw")
	target := filepath.Join(filepath.Dir(source), "copy.raw")
	part := target + ".part"
	for path, content := range map[string]string{source: "disk", part: "unfinished"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := makePart(part, target, source)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unfinished copy: %v", err)
	}
	if other, err := makePart(part, target, source); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("another server takes the same snapshot: %v, %v", other, err)
	}
	if err := complete(f, target); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "\x00\x00\x00\x00" {
		t.Errorf("the copy is %q, %v", got, err)
	}
	if err := complete(f, target); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another copy was completed: %v", err)
	}
	unlock(f)
	if _, err := makePart(part, target, source); !errors.Is(err, fs.ErrExist) {
		t.Errorf("another copy was begun: %v", err)
	}
	if _, err := os.Stat(part); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unfinished copy is left beside the complete one: %v", err)
	}
}
