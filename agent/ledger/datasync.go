//go:build !darwin

package ledger

import (
	"os"

	"golang.org/x/sys/unix"
)

// datasync flushes a file's data and its length to disk.
func datasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
