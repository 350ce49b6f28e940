package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Handle refers to one process, and never to another that gets its pid later. It is
// safe for concurrent use. Its owner must close it. A Poller that it was given to is
// its owner.
type Handle struct {
	id   ID
	done chan struct{}
	fd   int
	// uses counts the calls that use fd, plus closing once it is to be closed. The last
	// one closes it, so that the number is not reused meanwhile. There is no lock: a kill
	// must not wait for a thread that has no processor.
	uses atomic.Int64
	// ended: a Poller has seen the process end.
	ended atomic.Bool
}

const closing = 1 << 32

// use reports whether the descriptor may be used until unuse.
func (h *Handle) use() bool {
	for {
		n := h.uses.Load()
		if n >= closing {
			return false
		}
		if h.uses.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (h *Handle) unuse() {
	if h.uses.Add(-1) == closing {
		_ = unix.Close(h.fd)
	}
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
	if h.ended.Load() {
		return ErrGone
	}
	if !h.use() {
		return fmt.Errorf("send %v to process %d: %w", sig, h.id.PID, os.ErrClosed)
	}
	err := h.send(sig)
	h.unuse()
	if errors.Is(err, unix.ESRCH) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("send %v to process %d: %w", sig, h.id.PID, err)
	}
	return nil
}

// send sends a signal through a descriptor in use. The call does not block, so the runtime
// is not told of it, which might give the processor to another goroutine.
func (h *Handle) send(sig syscall.Signal) error {
	if _, _, e := unix.RawSyscall6(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(h.fd), uintptr(sig), 0, 0, 0, 0); e != 0 {
		return e
	}
	return nil
}

// Close releases the handle. It does not affect the process.
func (h *Handle) Close() {
	for {
		n := h.uses.Load()
		if n >= closing {
			return
		}
		if h.uses.CompareAndSwap(n, n+closing) {
			if n == 0 {
				_ = unix.Close(h.fd)
			}
			return
		}
	}
}

// reap marks the process as ended and reaps it if it was a child.
func (h *Handle) reap() End {
	h.ended.Store(true)
	return reapChild(h.id.PID)
}
