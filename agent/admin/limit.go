package admin

import (
	"net"
	"sync"
)

// maxConns is how many connections one listener serves at a time; more wait in
// the kernel's backlog. It bounds descriptors and goroutines, not use: sledctl
// holds one connection for as long as a command runs.
const maxConns = 64

// limited accepts no more than cap(slots) connections at a time.
type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, conns int) *limited {
	return &limited{Listener: l, slots: make(chan struct{}, conns), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{Conn: conn, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// slotConn gives its slot back when it is closed.
type slotConn struct {
	net.Conn
	free func()
}

func (c *slotConn) Close() error {
	err := c.Conn.Close()
	c.free()
	return err
}
