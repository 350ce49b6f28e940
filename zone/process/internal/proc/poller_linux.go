package proc

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// A Poller reports the end of processes. It is an epoll instance over pidfds, which is
// itself polled by the Go runtime: it needs one goroutine and no thread.
type Poller struct {
	epoll *os.File
	fd    int
	done  chan struct{}

	mu    sync.Mutex
	items map[int32]watched // by pidfd
}

type watched struct {
	handle *Handle
	ended  func(End)
}

// NewPoller starts a poller; Close ends it.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make process poller: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("make process poller: %w", err)
	}
	p := &Poller{
		epoll: os.NewFile(uintptr(fd), "process poller"),
		fd:    fd,
		done:  make(chan struct{}),
		items: make(map[int32]watched),
	}
	go p.run()
	return p, nil
}

// Add takes over the handle and calls ended once, after its process has ended and, if
// it was a child, was reaped. ended runs on the poller's goroutine and must not block.
// When Add fails, the caller still owns the handle.
func (p *Poller) Add(h *Handle, ended func(End)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := h.use()
	if used {
		defer h.unuse()
	}
	if !used || p.items == nil {
		return fmt.Errorf("watch process %d: %w", h.id.PID, os.ErrClosed)
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(h.fd)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, h.fd, &event); err != nil {
		return fmt.Errorf("watch process %d: %w", h.id.PID, err)
	}
	p.items[event.Fd] = watched{h, ended}
	return nil
}

// Close stops watching and closes every handle. It does not affect the processes.
func (p *Poller) Close() error {
	err := p.epoll.Close()
	<-p.done
	return err
}

func (p *Poller) run() {
	defer close(p.done)
	defer p.closeHandles()
	conn, err := p.epoll.SyscallConn()
	if err != nil {
		return
	}
	events := make([]unix.EpollEvent, 64)
	for {
		n := 0
		err := conn.Read(func(fd uintptr) bool {
			var err error
			n, err = unix.EpollWait(int(fd), events, 0)
			return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
		})
		if err != nil {
			return
		}
		for _, e := range events[:max(n, 0)] {
			p.end(e.Fd)
		}
	}
}

func (p *Poller) end(fd int32) {
	p.mu.Lock()
	w, ok := p.items[fd]
	delete(p.items, fd)
	_ = unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, int(fd), nil)
	p.mu.Unlock()
	if !ok {
		return
	}
	end := w.handle.reap()
	w.handle.Close()
	close(w.handle.done)
	w.ended(end)
}

func (p *Poller) closeHandles() {
	p.mu.Lock()
	items := p.items
	p.items = nil
	p.mu.Unlock()
	for _, w := range items {
		w.handle.Close()
	}
}
