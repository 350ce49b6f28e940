package publish

import (
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// keepFor is how long a connection is kept for the next request: the records of many
	// VMMs that end at one moment follow each other.
	keepFor = 5 * time.Second
	// maxKept bounds the connections that are kept, to all replicas together.
	maxKept = 16
)

// kept holds the connections between requests. Its zero value is usable.
type kept struct {
	mu     sync.Mutex
	all    []keptLine // the newest is the last
	closed bool
}

type keptLine struct {
	to     string
	line   *line
	expire *time.Timer
}

// keep keeps a connection without a request for keepFor. It reports false if it does not.
func (k *kept) keep(to string, l *line) bool {
	if l.read.Buffered() > 0 {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || len(k.all) >= maxKept {
		return false
	}
	k.all = append(k.all, keptLine{to, l, time.AfterFunc(keepFor, func() {
		if k.remove(l) {
			_ = l.raw.Close()
		}
	})})
	return true
}

// take returns the newest connection to a replica on which nothing has arrived since, or nil.
// It is the caller's then. What arrives without a request must not be taken for the answer to
// the next one.
func (k *kept) take(to string) *line {
	for {
		l := k.pop(to)
		if l == nil || silent(l.raw) {
			return l
		}
		_ = l.raw.Close()
	}
}

// silent reports whether a connection is open and has nothing to read. It does not wait.
func silent(conn net.Conn) bool {
	system, ok := conn.(syscall.Conn)
	if !ok {
		return true // within this process
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return false
	}
	var peeked error
	err = raw.Read(func(fd uintptr) bool {
		_, _, peeked = unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
		return true // whatever it is
	})
	return err == nil && errors.Is(peeked, unix.EAGAIN)
}

func (k *kept) pop(to string) *line {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, e := range slices.Backward(k.all) {
		if e.to == to {
			e.expire.Stop() // if it has fired, it does not find the connection
			k.all = slices.Delete(k.all, i, i+1)
			return e.line
		}
	}
	return nil
}

// remove reports whether the connection was kept until now.
func (k *kept) remove(l *line) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	i := slices.IndexFunc(k.all, func(e keptLine) bool { return e.line == l })
	if i < 0 {
		return false
	}
	k.all = slices.Delete(k.all, i, i+1)
	return true
}

// close closes all connections. None is kept afterwards.
func (k *kept) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.all {
		e.expire.Stop()
		_ = e.line.raw.Close()
	}
	k.all, k.closed = nil, true
}
