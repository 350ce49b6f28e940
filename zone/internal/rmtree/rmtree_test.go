//go:build linux

package rmtree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// open opens a directory.
func open(t *testing.T, path string) *os.File {
	t.Helper()
	d, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// deep makes nested directories, deeper than a path can name, with a file in each,
// and returns the descriptor of the last.
func deep(t *testing.T, dir string, levels int, name string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range levels {
		if err := unix.Mkdirat(fd, name, 0o700); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f, err := unix.Openat(next, "file", unix.O_CREAT|unix.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(f)
		unix.Close(fd)
		fd = next
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// watching is a context whose Err calls asked.
type watching struct {
	context.Context
	asked func() error
}

func (w watching) Err() error { return w.asked() }

// Not parallel: it counts the descriptors of the whole process.
func TestDeepTree(t *testing.T) {
	dir := t.TempDir()
	deep(t, dir, 1500, strings.Repeat("x", 200))
	before, most, asked := len(names(t, "/proc/self/fd")), 0, 0
	ctx := watching{context.Background(), func() error {
		if asked++; asked%50 == 0 {
			most = max(most, len(names(t, "/proc/self/fd"))-before)
		}
		return nil
	}}
	if err := Contents(ctx, open(t, dir), nil); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left: %.100q", left)
	}
	if most > maxDepth+2 {
		t.Errorf("%d descriptors were open at a time", most)
	}
	if asked > 4*1500 {
		t.Errorf("it looked at %d entries, there were 3000", asked)
	}
}

func TestWideTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 1500 {
		if err := os.Mkdir(filepath.Join(dir, fmt.Sprintf("d%d", i)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("d%d", i), "f"), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "keep"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	keep := func(name string) bool { return name == "keep" }
	if err := Contents(context.Background(), open(t, dir), keep); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) != 1 || left[0] != "keep" {
		t.Errorf("left: %.100q", left)
	}
}

// A removal checks its context between any two entries.
func TestContextEndsRemoval(t *testing.T) {
	t.Parallel()
	for steps := range 40 {
		dir := t.TempDir()
		deep(t, dir, 20, "d")
		asked := 0
		ctx := watching{context.Background(), func() error {
			if asked++; asked > steps {
				return context.Canceled
			}
			return nil
		}}
		err := Contents(ctx, open(t, dir), nil)
		if left := names(t, dir); errors.Is(err, context.Canceled) != (len(left) > 0) {
			t.Fatalf("after %d steps: %v, left %q", steps, err, left)
		}
	}
}

// A second try visits only the entry that cannot be removed and its parents.
func TestImmutableFileAtTheBottom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	last := deep(t, dir, 1000, "d")
	fd, err := unix.Openat(last, "file", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0x10); err != nil { // FS_IMMUTABLE_FL
		t.Skipf("files cannot be made immutable here: %v", err)
	}
	defer func() { _ = unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0) }()
	for try := range 3 {
		asked := 0
		ctx := watching{context.Background(), func() error { asked++; return nil }}
		if err := Contents(ctx, open(t, dir), nil); !errors.Is(err, unix.EPERM) {
			t.Errorf("try %d: %v", try, err)
		}
		if try > 0 && asked > 3*maxDepth {
			t.Errorf("try %d looked at %d entries", try, asked)
		}
	}
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, 0); err != nil {
		t.Fatal(err)
	}
	if err := Contents(context.Background(), open(t, dir), nil); err != nil {
		t.Error(err)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	outside, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"out": outside, "up": "..", "none": "nowhere", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Contents(context.Background(), open(t, dir), nil); err != nil {
		t.Error(err)
	}
	if len(names(t, dir)) > 0 || len(names(t, outside)) != 1 {
		t.Errorf("left %q, outside %q", names(t, dir), names(t, outside))
	}
}

// The content of a mount stays, and everything else is removed.
func TestMountsAreNotCrossed(t *testing.T) {
	t.Parallel()
	for what, mount := range map[string]func(source, target string) error{
		"tmpfs": func(_, target string) error { return unix.Mount("none", target, "tmpfs", 0, "") },
		"bind":  func(source, target string) error { return unix.Mount(source, target, "", unix.MS_BIND, "") },
		"file": func(source, target string) error {
			if err := os.Remove(target); err != nil {
				return err
			}
			if err := os.WriteFile(target, nil, 0o600); err != nil {
				return err
			}
			return unix.Mount(filepath.Join(source, "kept"), target, "", unix.MS_BIND, "")
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			outside, dir := t.TempDir(), t.TempDir()
			target := filepath.Join(dir, "a", "b", "mnt")
			if err := os.MkdirAll(target, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{filepath.Join(outside, "kept"), filepath.Join(dir, "file")} {
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := mount(outside, target); errors.Is(err, unix.EPERM) {
				t.Skip("needs root to mount")
			} else if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.Unmount(target, unix.MNT_DETACH) }()
			kept := target
			if what == "tmpfs" {
				kept = filepath.Join(target, "kept")
				if err := os.WriteFile(kept, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if point, err := MountIn(dir); point != target || err != nil {
				t.Errorf("found mount point %q, %v", point, err)
			}
			err := Contents(context.Background(), open(t, dir), nil)
			if !errors.Is(err, ErrMount) || !strings.Contains(err.Error(), target) {
				t.Errorf("removed across it: %v", err)
			}
			if _, err := os.Stat(kept); err != nil || len(names(t, outside)) != 1 {
				t.Errorf("its content is gone: %v", err)
			}
			if left := names(t, dir); len(left) != 1 {
				t.Errorf("left: %q", left)
			}
			if err := unix.Unmount(target, 0); err != nil {
				t.Fatal(err)
			}
			if err := Contents(context.Background(), open(t, dir), nil); err != nil || len(names(t, dir)) > 0 {
				t.Errorf("unmounted: %v, left %q", err, names(t, dir))
			}
		})
	}
}

func TestMountTable(t *testing.T) {
	t.Parallel()
	table := []byte("22 27 0:21 / /proc rw - proc proc rw\n31 23 0:28 / /z/oxz_a/root/m\\040n rw - tmpfs tmpfs rw\nshort\n")
	for dir, want := range map[string]string{"/z/oxz_a": "/z/oxz_a/root/m n", "/z/oxz": "", "/z/oxz_a/root/m n": "/z/oxz_a/root/m n", "/z/b": ""} {
		if got := mountIn(table, dir); got != want {
			t.Errorf("below %s: %q, want %q", dir, got, want)
		}
	}
}
