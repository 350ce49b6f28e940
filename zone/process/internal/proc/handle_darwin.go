package proc

import (
	"errors"
	"fmt"
	"syscall"
)

// A Handle refers to one process. macOS has no pidfd: the start time is checked just
// before each signal, which leaves a window of microseconds in which the pid could be
// reused.
type Handle struct {
	id   ID
	done chan struct{}
}

// Open returns a handle of the process with that ID, or ErrGone.
func Open(id ID) (*Handle, error) {
	if alive, err := Alive(id); err != nil {
		return nil, err
	} else if !alive {
		return nil, ErrGone
	}
	return &Handle{id: id, done: make(chan struct{})}, nil
}

// Child returns the handle of a child that was not reaped yet.
func Child(pid int) (*Handle, error) {
	info, err := Stat(pid)
	if err != nil {
		return nil, err
	}
	return &Handle{id: info.ID, done: make(chan struct{})}, nil
}

// ID returns the process's ID.
func (h *Handle) ID() ID { return h.id }

// Done returns a channel that is closed after a Poller has seen the process end and
// has reaped it if it was a child.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Signal sends a signal, or returns ErrGone.
func (h *Handle) Signal(sig syscall.Signal) error {
	if alive, err := Alive(h.id); err != nil {
		return err
	} else if !alive {
		return ErrGone
	}
	err := syscall.Kill(h.id.PID, sig)
	if errors.Is(err, syscall.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("send %v to process %d: %w", sig, h.id.PID, err)
	}
	return nil
}

// Close releases the handle. It does not affect the process.
func (h *Handle) Close() {}

func (h *Handle) reap() End {
	return reapChild(h.id.PID)
}
