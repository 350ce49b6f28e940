package proc

import (
	"errors"
	"fmt"
	"syscall"
)

// A Handle stands for one process. macOS has no pidfd: the start time is looked
// at just before each signal, which leaves a window of microseconds in which
// the pid could be used again.
type Handle struct {
	id   ID
	done chan struct{}
}

// Open returns a handle of the process of that ID, or ErrGone.
func Open(id ID) (*Handle, error) {
	if !Alive(id) {
		return nil, ErrGone
	}
	return &Handle{id: id, done: make(chan struct{})}, nil
}

// Started returns the handle of a child that was not yet reaped.
func Started(pid, _ int) (*Handle, error) {
	info, err := Stat(pid)
	if err != nil {
		return nil, err
	}
	return &Handle{id: info.ID, done: make(chan struct{})}, nil
}

// ID returns which process it is.
func (h *Handle) ID() ID { return h.id }

// Done is closed once a Poller has seen the process end and reaped it if it was
// a child.
func (h *Handle) Done() <-chan struct{} { return h.done }

// Signal sends a signal, or returns ErrGone.
func (h *Handle) Signal(sig syscall.Signal) error {
	if !Alive(h.id) {
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

// Close gives up the handle; the process is left alone.
func (h *Handle) Close() {}

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
