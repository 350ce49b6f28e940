package conns

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// A phase is the state of a connection, in the order in which connections are closed to
// make room.
type phase int

const (
	idle      phase = iota // nothing was received since it was accepted or last answered
	receiving              // a request, or the rest of one, is being received
	serving                // a received request is being answered
)

// A conn is a connection that a listener keeps. Its phase is guarded by l.mu.
type conn struct {
	net.Conn
	l     *listener
	phase phase
	since time.Time
}

// before reports whether c is closed before o when room is needed.
func (c *conn) before(o *conn) bool {
	if c.phase != o.phase {
		return c.phase < o.phase
	}
	return c.since.Before(o.since)
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.l.forget(c)
	return err
}

// CloseWrite lets the server end an answer before it closes the connection, so that a
// client that is still sending gets the answer and not a reset.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *conn) enter(p phase) {
	c.l.mu.Lock()
	c.phase, c.since = p, time.Now()
	c.l.mu.Unlock()
	if p != serving {
		c.l.wake()
	}
}

// ours returns the listener's connection below TLS; nil if there is none.
func ours(c net.Conn) *conn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	own, _ := c.(*conn)
	return own
}

type key struct{}

// Raw returns the connection of this context as it was accepted; nil if it is not known.
func Raw(ctx context.Context) net.Conn {
	if c, ok := ctx.Value(key{}).(*conn); ok {
		return c.Conn
	}
	return nil
}

// track makes a server report its connections' phases to the listener.
func track(srv *http.Server) {
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if c := ours(c); c != nil {
			return context.WithValue(ctx, key{}, c)
		}
		return ctx
	}
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		if c := ours(c); c != nil {
			switch state {
			case http.StateActive:
				c.enter(receiving)
			case http.StateIdle:
				c.enter(idle)
			}
		}
	}
}

// Receiving marks the request of this context as not yet received.
func Receiving(ctx context.Context) { enter(ctx, receiving) }

// Received marks the request of this context as received: its connection is no longer
// closed to make room.
func Received(ctx context.Context) { enter(ctx, serving) }

// Answered marks the request of this context as answered. The rest of it may still be
// arriving.
func Answered(ctx context.Context) { enter(ctx, receiving) }

func enter(ctx context.Context, p phase) {
	if c, ok := ctx.Value(key{}).(*conn); ok {
		c.enter(p)
	}
}
