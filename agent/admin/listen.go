package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrInUse means that another agent answers on the socket.
var ErrInUse = errors.New("another agent listens there")

// probeBudget bounds the check for a listener on an existing socket. A running
// listener's kernel backlog accepts at once.
const probeBudget = time.Second

// watchEvery is how often a listener checks that its socket still exists.
const watchEvery = 2 * time.Second

// Listen creates the unix socket for the Server. The socket has mode 0600 from the
// moment it is visible at path, or, if there are groups, mode 0660 and the first of them; a
// missing directory is created with mode 0700. The socket of a dead agent is replaced. Listen fails with ErrInUse if an agent listens on
// it, and does not touch a file that is not a socket. It does not exclude two agents
// that start at the same moment: the ledger's lock does.
//
// Close removes the socket unless another one has replaced it. The listener closes
// itself within watchEvery once its socket was removed or replaced, since no client can
// connect to it. Accept then returns net.ErrClosed; call Listen to create it again.
func Listen(path string, groups ...int) (net.Listener, error) {
	if err := claim(path); err != nil {
		return nil, fmt.Errorf("listen on admin socket %s: %w", path, err)
	}
	l, err := bindPrivate(path, groups)
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket %s: %w", path, err)
	}
	return l, nil
}

// claim creates the socket's directory and reports whether path can be used.
func claim(path string) error {
	// The socket is bound under a shorter name, so bind does not report a path that is
	// too long to connect to.
	if most := len(syscall.RawSockaddrUnix{}.Path) - 1; len(path) > most {
		return fmt.Errorf("the path has %d characters, a socket's may have %d", len(path), most)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("a file that is not a socket exists")
	}
	conn, err := net.DialTimeout("unix", path, probeBudget)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN), isTimeout(err):
		return ErrInUse // the backlog is full: the agent is busy
	}
	return err
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// bindPrivate binds the socket inside a private directory, sets its mode, and then
// renames it. Between bind and chmod a socket has the mode that the process's umask
// gives it; this way it is not visible then. The rename also replaces a dead agent's
// socket atomically.
func bindPrivate(path string, groups []int) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(dir) }()
	temporary := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	info, err := publishSocket(temporary, path, groups)
	if err != nil {
		_ = l.Close()
		_ = os.Remove(temporary)
		return nil, err
	}
	s := &socket{UnixListener: l, path: path, info: info, closed: make(chan struct{})}
	go s.watch()
	return s, nil
}

func publishSocket(temporary, path string, groups []int) (os.FileInfo, error) {
	mode := os.FileMode(0o600)
	if len(groups) > 0 {
		mode = 0o660
		if err := os.Chown(temporary, -1, groups[0]); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(temporary, mode); err != nil {
		return nil, err
	}
	info, err := os.Lstat(temporary)
	if err != nil {
		return nil, err
	}
	return info, os.Rename(temporary, path)
}

// socket is a listener with the name that its socket was renamed to.
type socket struct {
	*net.UnixListener
	path   string
	info   os.FileInfo
	once   sync.Once
	closed chan struct{}
}

// Addr returns the socket's path.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

func (s *socket) Close() error {
	s.once.Do(func() {
		close(s.closed)
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(s.info, now) {
			_ = os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}

// watch closes the listener when its socket is not at its path any more.
func (s *socket) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s.displaced() {
				_ = s.Close() // Accept fails then
				return
			}
		case <-s.closed:
			return
		}
	}
}

// displaced reports whether the socket is certainly not at its path; other errors of
// the check are ignored.
func (s *socket) displaced() bool {
	now, err := os.Lstat(s.path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
	}
	return !os.SameFile(s.info, now)
}
