package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A HeldError says that another agent works on the state directory.
type HeldError struct {
	Dir string
	// PID is the other agent's process id; 0 if the system does not say.
	PID int
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("state directory %s is in use by process %d", e.Dir, e.PID)
}

// Lock takes a state directory for this process alone, or fails with a
// *HeldError at once. The lock ends with the process, or with release. It is a
// record lock (fcntl(2)): children do not inherit it, and no second descriptor
// of the file may be opened and closed in this process.
func Lock(dir string) (release func() error, err error) {
	path := filepath.Join(dir, "agent.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
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
