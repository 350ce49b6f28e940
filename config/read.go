package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Load reads the file at path. Its error is an *Error, or several joined.
func Load(path string) (*Config, error) {
	data, err := read(path)
	if err == nil {
		return Parse(path, data)
	}
	bad := &Error{Reason: err.Error(), cause: err}
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		bad.Reason = pathErr.Err.Error()
	}
	errors.As(err, &bad)
	bad.File = path
	return nil, bad
}

// pipeBudget bounds the time for a pipe's writer to write the file.
const pipeBudget = 5 * time.Second

// read reads at most what it takes to see that a file is too large. It reads only regular
// files and pipes (/dev/stdin, a shell's <(...)) and never blocks indefinitely: a pipe
// without a writer is an error.
func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	pipe := info.Mode().Type() == fs.ModeNamedPipe
	switch {
	case info.IsDir():
		return nil, unix.EISDIR
	case !pipe && !info.Mode().IsRegular():
		return nil, &Error{Reason: fmt.Sprintf("not a regular file: %s", info.Mode())}
	case pipe:
		if err := f.SetReadDeadline(time.Now().Add(pipeBudget)); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if pipe && (errors.Is(err, os.ErrDeadlineExceeded) || err == nil && len(data) == 0) {
		return nil, &Error{Reason: "a pipe without a writer"}
	}
	return data, err
}
