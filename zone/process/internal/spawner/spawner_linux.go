package spawner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// maxHelpers bounds the number of helpers, and so of stuck starts.
const maxHelpers = 8

// ErrBusy: no helper is available, since every one is stuck with an earlier start, or
// was killed.
var ErrBusy = errors.New("no helper process is free")

var errClosed = errors.New("spawner is closed")

// A Spawner starts processes from helpers. It is safe for concurrent use. Its owner
// must close it.
type Spawner struct {
	self string
	// first is the program of a helper that no other helper starts, if it can be
	// executed.
	first string
	// idle holds the idle helpers.
	idle   chan *helper
	closed chan struct{}
	// lost wakes a call that waits for a helper when one has ended.
	lost chan struct{}

	mu    sync.Mutex
	count int // live helpers, idle or not, and those being started
}

// A helper is one helper process, a child of this one. It belongs to the idle queue or
// to the exchange that took it from the queue.
type helper struct {
	pid  int
	conn *net.UnixConn
}

// New starts the first helper. self is the path of a helper's program as a helper sees it,
// first its path as this process sees it; self is tried if first cannot be executed. The
// program must call Run when its only argument is Arg0.
func New(self, first string) (*Spawner, error) {
	s := &Spawner{self: self, first: first, idle: make(chan *helper, maxHelpers), closed: make(chan struct{}), lost: make(chan struct{}, 1)}
	if err := s.startFirst(); err != nil {
		return nil, err
	}
	h := <-s.idle
	go func() { s.giveBack(h, s.reserve(h)) }()
	return s, nil
}

// Close ends idle helpers at once, and others after their current start. It does not
// affect the processes that they started.
func (s *Spawner) Close() {
	close(s.closed)
	for {
		select {
		case h := <-s.idle:
			s.discard(h)
		default:
			return
		}
	}
}

// Start starts a process with that socket and returns its pid. After ctx has ended it
// waits up to lastWait and then returns. The process is then killed as soon as it
// exists.
func (s *Spawner) Start(ctx context.Context, r Request, socket *os.File) (int, error) {
	h, err := s.take(ctx)
	if err != nil {
		return 0, err
	}
	ours, err := duplicate(socket)
	if err != nil {
		s.idle <- h
		return 0, err
	}
	answers, abandoned := make(chan answer, 1), new(atomic.Bool)
	go s.exchange(h, r, ours, answers, abandoned)
	select {
	case a := <-answers:
		return a.pid, a.err
	case <-ctx.Done():
	}
	// An exec that does not stall is over within lastWait, so that no process appears
	// later.
	timer := time.NewTimer(lastWait)
	defer timer.Stop()
	select {
	case a := <-answers:
		return a.pid, a.err
	case <-timer.C:
	}
	if abandoned.CompareAndSwap(false, true) {
		return 0, fmt.Errorf("start %s: %w", r.Path, context.Cause(ctx))
	}
	a := <-answers
	return a.pid, a.err
}

// lastWait is how long a start whose context has ended waits for its helper.
const lastWait = time.Second

type answer struct {
	pid int
	err error
}

// exchange makes a helper start one process, after it has made sure that another
// helper is idle in case the start is stuck. It owns socket.
func (s *Spawner) exchange(h *helper, r Request, socket *os.File, answers chan<- answer, abandoned *atomic.Bool) {
	defer socket.Close()
	err := s.reserve(h)
	pid := 0
	if err == nil && !abandoned.Load() {
		pid, err = h.ask(r, socket)
	}
	if !abandoned.CompareAndSwap(false, true) && pid > 0 {
		proc.EndChild(pid)
	}
	answers <- answer{pid, err}
	s.giveBack(h, err)
}

// reserve makes sure that a helper other than h is idle.
func (s *Spawner) reserve(h *helper) error {
	s.mu.Lock()
	enough := len(s.idle) > 0 || s.count >= maxHelpers
	if !enough {
		s.count++
	}
	s.mu.Unlock()
	if enough {
		return nil
	}
	other, err := s.startBy(func(theirs *os.File) (int, error) {
		return h.ask(Request{Path: s.self, Argv: []string{Arg0}}, theirs)
	})
	if err != nil {
		s.lose()
		return err
	}
	s.giveBack(other, nil)
	return nil
}

// take waits for an idle helper.
func (s *Spawner) take(ctx context.Context) (*helper, error) {
	for {
		if err := s.startFirst(); err != nil { // all may have been killed
			return nil, err
		}
		select {
		case h := <-s.idle:
			return h, nil
		case <-s.lost:
		case <-s.closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
		}
	}
}

// giveBack makes a helper idle again, if it is usable after the error of its last
// exchange.
func (s *Spawner) giveBack(h *helper, err error) {
	var refused syscall.Errno
	select {
	case <-s.closed:
	default:
		if err == nil || errors.As(err, &refused) {
			s.idle <- h
			return
		}
	}
	s.discard(h)
}

// discard ends a helper that is idle or unusable. It does not wait for its end.
func (s *Spawner) discard(h *helper) {
	s.lose()
	_ = h.conn.Close()
	go proc.EndChild(h.pid)
}

func (s *Spawner) lose() {
	s.mu.Lock()
	s.count--
	s.mu.Unlock()
	select {
	case s.lost <- struct{}{}:
	default:
	}
}

// ask makes the helper start one process.
func (h *helper) ask(r Request, socket *os.File) (int, error) {
	var got reply
	err := send(h.conn, r, socket)
	if err == nil {
		_, err = receive(h.conn, &got)
	}
	if err != nil {
		return 0, fmt.Errorf("start %s: %w: exchange messages with helper process %d: %v", r.Path, ErrBusy, h.pid, err)
	}
	if got.Errno != 0 {
		return 0, fmt.Errorf("start %s: %w", r.Path, got.Errno)
	}
	return got.PID, nil
}

// startFirst starts a helper from this process, if there is none.
func (s *Spawner) startFirst() error {
	s.mu.Lock()
	needed := s.count == 0
	if needed {
		s.count++
	}
	s.mu.Unlock()
	if !needed {
		return nil
	}
	h, err := s.startBy(func(theirs *os.File) (int, error) {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return 0, err
		}
		defer null.Close()
		attr := &syscall.ProcAttr{Dir: "/", Env: []string{}, Sys: &syscall.SysProcAttr{Setsid: true},
			Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), theirs.Fd()}}
		pid, err := syscall.ForkExec(s.first, []string{Arg0}, attr)
		if err != nil && s.first != s.self {
			pid, err = syscall.ForkExec(s.self, []string{Arg0}, attr)
		}
		return pid, err
	})
	if err != nil {
		s.lose()
		return fmt.Errorf("start helper process: %w", err)
	}
	s.giveBack(h, nil)
	return nil
}

func (s *Spawner) startBy(start func(theirs *os.File) (int, error)) (*helper, error) {
	conn, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	pid, err := start(theirs)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &helper{pid: pid, conn: conn}, nil
}

// pair returns the two ends of a socket.
func pair() (ours *net.UnixConn, theirs *os.File, err error) {
	f, theirs, err := proc.SocketPair()
	if err != nil {
		return nil, nil, err
	}
	c, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("make socket for helper process: %w", err)
	}
	return c.(*net.UnixConn), theirs, nil
}

// duplicate returns another descriptor of a socket, since the owner may close the
// socket while an exchange is stuck.
func duplicate(socket *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(socket.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}
