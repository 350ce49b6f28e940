package qemu

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
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
	if err := makePart(part, target, source); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unfinished copy: %v", err)
	}
	if err := complete(part, target); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "\x00\x00\x00\x00" {
		t.Errorf("the copy is %q, %v", got, err)
	}
	for name, err := range map[string]error{"begun": makePart(part, target, source), "completed": complete(part, target)} {
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("another copy was %s: %v", name, err)
		}
	}
}
