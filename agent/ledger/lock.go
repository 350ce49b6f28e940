package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/internal/ownfile"
)

// A HeldError reports that another agent uses the state directory.
type HeldError struct {
	Dir string
	// PID is the other agent's process id; 0 if the system does not report it.
	PID int
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("state directory %s is in use by process %d", e.Dir, e.PID)
}

// Lock locks a state directory for this process, or fails at once with a *HeldError.
// The lock ends with the process or with release. It is a record lock (fcntl(2)):
// children do not inherit it, and closing any other descriptor of the file in this
// process would release it.
func Lock(dir string) (release func() error, err error) {
	path := filepath.Join(dir, "agent.lock")
	f, err := ownfile.Open(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock)
	if err == nil {
		return f.Close, nil
	}
	if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EAGAIN) {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	held := &HeldError{Dir: dir}
	holder := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &holder); err == nil && holder.Type != unix.F_UNLCK {
		held.PID = int(holder.Pid)
	}
	return nil, errors.Join(held, f.Close())
}
