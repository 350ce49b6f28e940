// Package connstest has connections within the process, for tests of servers in a bubble.
package connstest

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
)

// Pipes is a listener whose connections are unbuffered: a stalled reader blocks the next write.
type Pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

// New returns an open listener.
func New() *Pipes { return &Pipes{accepted: make(chan net.Conn), closed: make(chan struct{})} }

// Accept waits for a Dial.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and Dial fail.
func (p *Pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is the same for all Pipes.
func (p *Pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// Connect is Dial for a test, of a server that accepts.
func (p *Pipes) Connect(t testing.TB) net.Conn {
	t.Helper()
	conn, err := p.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// Dial connects to the listener.
func (p *Pipes) Dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accepted <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
