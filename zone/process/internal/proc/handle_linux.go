package proc

import (
	"errors"
	"fmt"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Handle stands for one process and for no other that may get its pid later.
// It is safe for concurrent use. Whoever holds it closes it, unless it was
// given to a Poller, which then does.
type Handle struct {
	id   ID
	done chan struct{}

	mu sync.Mutex // held over the send, so that the descriptor is not used again in between
	fd int        // -1 once closed
}

// Open returns a handle of the process of that ID, or ErrGone.
func Open(id ID) (*Handle, error) {
	fd, err := unix.PidfdOpen(id.PID, 0)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL):
		return nil, ErrGone
	case err != nil:
		return nil, fmt.Errorf("open process %d: %w", id.PID, err)
	}
	// What /proc shows after the pidfd was opened is the pidfd's process, or
	// a later one of the same pid, which then differs in its start time.
	if !Alive(id) {
		_ = unix.Close(fd)
		return nil, ErrGone
	}
	return &Handle{id: id, fd: fd, done: make(chan struct{})}, nil
}

// Started returns the handle of a child that was started with a PidFD and not
// yet reaped, and owns the descriptor from then on, also when it fails.
func Started(pid, pidfd int) (*Handle, error) {
	if pidfd < 0 {
		return nil, fmt.Errorf("open process %d: no pidfd: %w", pid, ErrUnsupported)
	}
	info, err := Stat(pid)
	if err != nil {
		_ = unix.Close(pidfd)
		return nil, err
	}
	return &Handle{id: info.ID, fd: pidfd, done: make(chan struct{})}, nil
}

// ID returns which process it is.
func (h *Handle) ID() ID { return h.id }

// Done is closed once a Poller has seen the process end and reaped it if it was
// a child.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Signal sends a signal, or returns ErrGone.
func (h *Handle) Signal(sig syscall.Signal) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd < 0 {
		return ErrGone
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

// Close gives up the handle; the process is left alone.
func (h *Handle) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fd >= 0 {
		_ = unix.Close(h.fd)
		h.fd = -1
	}
}

// reap takes the status of a child that has ended.
func (h *Handle) reap() End {
	var ws syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(h.id.PID, &ws, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		return End{Child: err == nil && pid == h.id.PID, Status: ws}
	}
}
