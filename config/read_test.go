package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Permanent and transient errors are distinguished.
func TestTransient(t *testing.T) {
	t.Parallel()
	for errno, want := range map[error]bool{
		unix.EIO: true, unix.EMFILE: true, unix.ENFILE: true, unix.ENOMEM: true, unix.EINTR: true, unix.EAGAIN: true,
		unix.ESTALE: true, unix.ETIMEDOUT: true, unix.ENOBUFS: true, unix.EBUSY: true, unix.EHOSTDOWN: true,
		unix.ENOENT: false, unix.EACCES: false, unix.EPERM: false, unix.EISDIR: false, unix.ENOTDIR: false,
		unix.ELOOP: false, unix.ENAMETOOLONG: false, unix.ENXIO: false,
	} {
		e := &Error{cause: &fs.PathError{Op: "open", Path: "f", Err: errno}}
		if e.Transient() != want {
			t.Errorf("%v: transient is %v", errno, !want)
		}
	}
	if (&Error{Key: "log.level"}).Transient() {
		t.Error("a bad value is transient")
	}
}

// Only files and pipes are read, and no pipe blocks.
func TestLoadDoesNotBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, reason := range map[string]string{pipe: "a pipe without a writer", dir: "is a directory", "/dev/null": "not a regular file"} {
		var bad *Error
		if _, err := Load(path); !errors.As(err, &bad) || !strings.Contains(err.Error(), reason) || bad.Transient() {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := os.Stat("/dev/fd"); err != nil {
		t.Skip("no /dev/fd")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("[api]\nlisten = \"127.0.0.1:1\"\n"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	cfg, err := Load("/dev/fd/" + strconv.Itoa(int(r.Fd())))
	if err != nil || cfg.API.Listen.Port() != 1 {
		t.Errorf("from a pipe: %v, %v", cfg, err)
	}
}
