package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var at = time.Unix(1795440000, 0)

// tree creates the named files in the given order.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("this is "+name), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func packed(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := (content{dir: dir, prefix: "release", example: "b/c", at: at}).pack(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSameFilesSameBytes(t *testing.T) {
	t.Parallel()
	one, other := packed(t, tree(t, "a", "b/c", "b/d")), packed(t, tree(t, "b/d", "a", "b/c"))
	if !bytes.Equal(one, other) {
		t.Error("two archives of the same files differ")
	}
	zipped, err := gzip.NewReader(bytes.NewReader(one))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(at) || h.Uname != "root" || h.Uid != 0 {
			t.Errorf("%s is of %v and %s", h.Name, h.ModTime, h.Uname)
		}
		got = append(got, fmt.Sprintf("%s %o %s", h.Name, h.Mode, text))
	}
	want := []string{"release/ 755 ", "release/a 500 this is a", "release/b/ 700 ", "release/b/c.example 500 this is b/c", "release/b/d 500 this is b/d"}
	want[0] = got[0] // the mode of the test's directory depends on the system
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatCannotBePacked(t *testing.T) {
	t.Parallel()
	dir := tree(t, "a")
	if err := os.Symlink("a", filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := (content{dir: dir, prefix: "release"}).pack(io.Discard); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("a link: %v", err)
	}
	if err := write(filepath.Join(t.TempDir(), "out"), content{dir: "/nonexistent", prefix: "release"}); err == nil {
		t.Error("a directory that is not there is packed")
	}
}
