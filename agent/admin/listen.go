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

// ErrInUse: another agent answers on the socket.
var ErrInUse = errors.New("another agent listens there")

// probeBudget bounds the look whether somebody listens on a socket that is
// there already. A live listener answers from its backlog, at once.
const probeBudget = time.Second

// Listen makes the unix socket that the Server serves on: mode 0600 from the
// first moment that it can be seen under its name, in a directory that is made
// if absent (mode 0700). The socket of an agent that has died is replaced; if
// an agent listens on it, Listen fails with ErrInUse; if there is anything but
// a socket, it is left alone. Two agents that start at the same moment are kept
// apart by the ledger's lock, not by this.
//
// Closing the listener removes the socket unless somebody else's has taken its
// place by then.
func Listen(path string) (net.Listener, error) {
	if err := claim(path); err != nil {
		return nil, fmt.Errorf("listen on admin socket %s: %w", path, err)
	}
	l, err := bindPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("listen on admin socket %s: %w", path, err)
	}
	return l, nil
}

// claim makes the socket's directory and tells whether its name may be taken.
func claim(path string) error {
	// The socket is bound under a shorter name, so bind would not notice that
	// nobody can connect to it by this one.
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
		return errors.New("there is something else of that name, not a socket")
	}
	conn, err := net.DialTimeout("unix", path, probeBudget)
	switch {
	case err == nil:
		_ = conn.Close()
		return ErrInUse
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.EAGAIN), isTimeout(err):
		return ErrInUse // its backlog is full: it is busy, not dead
	}
	return err
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// bindPrivate binds the socket inside a directory that nobody else can enter,
// sets its mode, and only then gives it its name. Between bind and chmod a
// socket is as open as the umask left it, and the umask belongs to the whole
// process; this way there is no such moment. The rename also replaces a dead
// agent's socket in one step.
func bindPrivate(path string) (net.Listener, error) {
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
	info, err := publishSocket(temporary, path)
	if err != nil {
		_ = l.Close()
		_ = os.Remove(temporary)
		return nil, err
	}
	return &socket{UnixListener: l, path: path, info: info}, nil
}

func publishSocket(temporary, path string) (os.FileInfo, error) {
	if err := os.Chmod(temporary, 0o600); err != nil {
		return nil, err
	}
	info, err := os.Lstat(temporary)
	if err != nil {
		return nil, err
	}
	return info, os.Rename(temporary, path)
}

// socket is a listener that knows the name it was given after it was bound.
type socket struct {
	*net.UnixListener
	path string
	info os.FileInfo
	once sync.Once
}

// Addr is the socket's path.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(s.info, now) {
			_ = os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
