package rmtree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/internal/plain"
)

const (
	// maxDepth is how many directories are open at a time. Deeper directories are
	// first moved up into the top directory.
	maxDepth = 16
	// chunk is how many names of a directory are read at a time.
	chunk = 256
	// movedPrefix begins the names of directories that were moved up.
	movedPrefix = ".deep-"
)

// ErrMount: the entry is a mount point. Nothing below it was touched.
var ErrMount = errors.New("is a mount point")

// Contents removes everything in a directory but the names to keep. It continues
// after an entry that cannot be removed and returns the first such error. The caller
// still owns dir.
func Contents(ctx context.Context, dir *os.File, keep func(name string) bool) error {
	r := &remover{ctx: ctx, top: int(dir.Fd()), name: dir.Name()}
	return r.contents(dir, dir.Name(), 0, keep)
}

// A remover is the state of one removal.
type remover struct {
	ctx context.Context
	// top is the descriptor, and name the name, of the top directory.
	top  int
	name string
	// moved counts the directories that were moved up.
	moved int
}

// contents removes the entries of an open directory. It reads the directory again
// as long as it finds entries, since removing some may make the reading skip others,
// and since deep directories are moved to the top one.
func (r *remover) contents(dir *os.File, name string, depth int, keep func(string) bool) error {
	var first error
	for {
		moved := r.moved
		found, err := r.pass(dir, name, depth, keep)
		if first == nil {
			first = err
		}
		more := found && err == nil || depth == 0 && r.moved > moved
		if !more {
			return first
		}
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read directory again: %w", err)
		}
	}
}

// pass reads a directory once and removes the entries.
func (r *remover) pass(dir *os.File, name string, depth int, keep func(string) bool) (found bool, err error) {
	var first error
	for {
		names, err := dir.Readdirnames(chunk)
		for _, n := range names {
			if keep != nil && keep(n) {
				continue
			}
			found = true
			if err := r.ctx.Err(); err != nil {
				return found, err
			}
			if err := r.entry(int(dir.Fd()), path.Join(name, n), n, depth); err != nil && first == nil {
				first = err
			}
		}
		if errors.Is(err, io.EOF) {
			return found, first
		}
		if err != nil {
			return found, fmt.Errorf("read directory: %w", err)
		}
	}
}

// entry removes one entry of a directory. full is its path for messages.
func (r *remover) entry(parent int, full, name string, depth int) error {
	var st unix.Stat_t
	err := retry(func() error { return unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return r.directory(parent, full, name, depth)
	}
	if err == nil {
		err = unlink(parent, name, 0)
	}
	return describe(full, err)
}

func (r *remover) directory(parent int, full, name string, depth int) error {
	err := unlink(parent, name, unix.AT_REMOVEDIR)
	if err == nil || !holds(err) {
		return describe(full, err)
	}
	if depth == maxDepth {
		return describe(full, r.moveUp(parent, name))
	}
	dir, err := openDir(parent, full, name)
	if err != nil {
		return describe(full, err)
	}
	err = r.contents(dir, full, depth+1, nil)
	if cerr := dir.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return describe(full, unlink(parent, name, unix.AT_REMOVEDIR))
}

// holds reports whether a directory was not removed because it is not empty. A mount
// point fails with EBUSY instead.
func holds(err error) bool {
	return errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST)
}

// moveUp moves a directory into the top directory, where the removal finds it.
func (r *remover) moveUp(parent int, name string) error {
	opened := false
	for {
		r.moved++
		err := retry(func() error {
			return unix.Renameat(parent, name, r.top, movedPrefix+strconv.Itoa(r.moved))
		})
		switch {
		case holds(err): // an interrupted removal has left that name
		case errors.Is(err, unix.EACCES) && !opened:
			opened = true
			_ = unix.Fchmod(parent, 0o700)
			_ = unix.Fchmodat(parent, name, 0o700, 0)
		default:
			return err
		}
	}
}

// unlink removes a name. If the directory's mode forbids that, it changes the mode.
func unlink(parent int, name string, flags int) error {
	err := retry(func() error { return unix.Unlinkat(parent, name, flags) })
	if errors.Is(err, unix.EACCES) && unix.Fchmod(parent, 0o700) == nil {
		err = retry(func() error { return unix.Unlinkat(parent, name, flags) })
	}
	return err
}

func openDir(parent int, full, name string) (*os.File, error) {
	fd, err := openBelow(parent, name)
	if errors.Is(err, unix.EACCES) && unix.Fchmodat(parent, name, 0o700, 0) == nil {
		fd, err = openBelow(parent, name)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), full), nil
}

const openFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK

// openSame opens a directory on the same device as its parent. It is for systems
// whose open cannot refuse a mount point.
func openSame(parent int, name string) (int, error) {
	var above, st unix.Stat_t
	if err := unix.Fstat(parent, &above); err != nil {
		return -1, err
	}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat(parent, name, openFlags, 0)
		return err
	})
	if err != nil {
		return -1, err
	}
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != above.Dev {
		_ = unix.Close(fd)
		if err == nil {
			err = unix.EXDEV
		}
		return -1, err
	}
	return fd, nil
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// maxShown bounds how much of a path an error shows, in bytes.
const maxShown = 512

// describe adds the entry's path to an error. A missing entry is not an error.
func describe(full string, err error) error {
	switch {
	case err == nil || errors.Is(err, unix.ENOENT):
		return nil
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EBUSY):
		err = fmt.Errorf("%w (%w)", ErrMount, err)
	}
	return fmt.Errorf("remove %s: %w", plain.Line(plain.ClipMiddle(full, maxShown), maxShown), err)
}
