package proc

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Poller reports the end of processes: one kqueue, one goroutine.
type Poller struct {
	kq   int
	done chan struct{}

	mu    sync.Mutex
	items map[int]watched // by pid; nil once closed
}

type watched struct {
	handle *Handle
	ended  func(End)
}

// wakeIdent is the user event that ends the goroutine.
const wakeIdent = 1

// NewPoller starts a poller; Close ends it.
func NewPoller() (*Poller, error) {
	kq, err := unix.Kqueue()
	if err != nil {
		return nil, fmt.Errorf("make process poller: %w", err)
	}
	unix.CloseOnExec(kq)
	wake := unix.Kevent_t{Ident: wakeIdent, Filter: unix.EVFILT_USER, Flags: unix.EV_ADD | unix.EV_CLEAR}
	if _, err := unix.Kevent(kq, []unix.Kevent_t{wake}, nil, nil); err != nil {
		_ = unix.Close(kq)
		return nil, fmt.Errorf("make process poller: %w", err)
	}
	p := &Poller{kq: kq, done: make(chan struct{}), items: make(map[int]watched)}
	go p.run()
	return p, nil
}

// Add takes over the handle and calls ended once, after its process has ended and, if
// it was a child, was reaped. ended runs on a goroutine of the poller and must not
// block. When Add fails, the caller still owns the handle.
func (p *Poller) Add(h *Handle, ended func(End)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.items == nil {
		return fmt.Errorf("watch process %d: %w", h.id.PID, os.ErrClosed)
	}
	p.items[h.id.PID] = watched{h, ended}
	event := unix.Kevent_t{
		Ident:  uint64(h.id.PID),
		Filter: unix.EVFILT_PROC,
		Flags:  unix.EV_ADD | unix.EV_ONESHOT,
		Fflags: unix.NOTE_EXIT,
	}
	_, err := unix.Kevent(p.kq, []unix.Kevent_t{event}, nil, nil)
	switch {
	case errors.Is(err, unix.ESRCH):
		go p.end(h.id.PID) // it ended before it could be watched
	case err != nil:
		delete(p.items, h.id.PID)
		return fmt.Errorf("watch process %d: %w", h.id.PID, err)
	}
	return nil
}

// Close stops watching. It does not affect the processes.
func (p *Poller) Close() error {
	p.mu.Lock()
	closed := p.items == nil
	p.items = nil
	p.mu.Unlock()
	if closed {
		return os.ErrClosed
	}
	wake := unix.Kevent_t{Ident: wakeIdent, Filter: unix.EVFILT_USER, Fflags: unix.NOTE_TRIGGER}
	if _, err := unix.Kevent(p.kq, []unix.Kevent_t{wake}, nil, nil); err != nil {
		return fmt.Errorf("close process poller: %w", err)
	}
	<-p.done
	return unix.Close(p.kq)
}

func (p *Poller) run() {
	defer close(p.done)
	events := make([]unix.Kevent_t, 64)
	for {
		n, err := unix.Kevent(p.kq, nil, events, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Filter == unix.EVFILT_USER {
				return
			}
			p.end(int(e.Ident))
		}
	}
}

func (p *Poller) end(pid int) {
	p.mu.Lock()
	w, ok := p.items[pid]
	delete(p.items, pid)
	p.mu.Unlock()
	if !ok {
		return
	}
	end := w.handle.reap()
	close(w.handle.done)
	w.ended(end)
}
