package qemu

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file with the same numbers on another machine is another file.
func TestSameFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openDisk(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	here, err := fileIDs(map[string]disk{"vda": {path: path, fd: firstFD}, "blob": {content: []byte("hello")}}, []*os.File{f})
	if err != nil {
		t.Fatal(err)
	}
	if err := sameFiles(here, here); err != nil || len(here) != 1 {
		t.Errorf("%v: %v", here, err)
	}
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(string(boot))
	if err := sameFiles(here, map[string]string{"vda": strings.Replace(here["vda"], id, "another", 1)}); err == nil {
		t.Errorf("%v is the same on another machine", here)
	}
}
