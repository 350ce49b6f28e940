package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Handle refers to one process, and never to another that gets its pid later. It is
// safe for concurrent use. Its owner must close it. A Poller that it was given to is
// its owner.
type Handle struct {
	id   ID
	done chan struct{}

	mu sync.Mutex // held during a send, so that the descriptor is not reused meanwhile
	fd int        // -1 once closed
	// ended: a Poller has seen the process end.
	ended bool
}

// Open returns a handle of the process with that ID, or ErrGone.
func Open(id ID) (*Handle, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return nil, ErrGone // the last two: the pid is now that of a thread
	case err != nil:
		return nil, fmt.Errorf("open process %d: %w", id.PID, err)
	}
	// After the pidfd was opened, /proc shows the pidfd's process or a later one with
	// the same pid, which has another start time.
	alive, err := Alive(id)
	if !alive {
		_ = unix.Close(fd)
		if err == nil {
			err = ErrGone
		}
		return nil, err
	}
	return &Handle{id: id, fd: fd, done: make(chan struct{})}, nil
}

// Child returns the handle of a child that was not reaped yet, so that no other
// process can have its pid.
func Child(pid int) (*Handle, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	info, err := statStarted(pid, pidfd)
	if err != nil {
		_ = unix.Close(pidfd)
		return nil, err
	}
	return &Handle{id: info.ID, fd: pidfd, done: make(chan struct{})}, nil
}

// statStarted looks at a child and checks that /proc shows the child by that pid.
func statStarted(pid, pidfd int) (Info, error) {
	fdinfo, err := os.ReadFile(procDir + "/self/fdinfo/" + strconv.Itoa(pidfd))
	if err != nil {
		return Info{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	// The pid in the namespace of /proc's mount (pidfd_open(2)).
	if shown := field(fdinfo, "Pid:"); shown != strconv.Itoa(pid) {
		return Info{}, fmt.Errorf("look at process %d: /proc shows it as pid %q", pid, shown)
	}
	return Stat(pid)
}

// ID returns the process's ID.
func (h *Handle) ID() ID { return h.id }

// Done returns a channel that is closed after a Poller has seen the process end and
// has reaped it if it was a child.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Signal sends a signal, or returns ErrGone.
func (h *Handle) Signal(sig syscall.Signal) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return ErrGone
	}
	if h.fd < 0 {
		return fmt.Errorf("send %v to process %d: %w", sig, h.id.PID, os.ErrClosed)
	}
	err := unix.PidfdSendSignal(h.fd, sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("send %v to process %d: %w", sig, h.id.PID, err)
	}
	return nil
}

// Close releases the handle. It does not affect the process.
func (h *Handle) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
		h.fd = -1
	}
}

// reap marks the process as ended and reaps it if it was a child.
func (h *Handle) reap() End {
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	return reapChild(h.id.PID)
}
