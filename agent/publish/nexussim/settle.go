package nexussim

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
)

// Settle waits until every connection to the main port that was opened before
// the call has ended. After the death of a client its last requests may still be
// on their way: without this they would seem to come from the client's successor.
func (s *Server) Settle(ctx context.Context) error {
	s.gate.mu.Lock()
	p, addr := s.gate.main, s.gate.addr
	s.gate.mu.Unlock()
	if p == nil {
		return nil // Its connections were cut when the port was closed.
	}
	// Connections are accepted in their order, so this one is after all of them.
	mark, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		// The port is being closed, or else nobody serves there.
		select {
		case <-p.served:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("settle: %w", err)
		}
	}
	defer mark.Close()
	if err := p.callers.wait(ctx, mark.LocalAddr().String(), p.served); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}

// callers are the connections that a port has.
type callers struct {
	mu      sync.Mutex
	next    uint64
	open    map[net.Conn]uint64
	changed chan struct{}
}

func newCallers() *callers {
	return &callers{open: make(map[net.Conn]uint64), changed: make(chan struct{})}
}

// note is the server's ConnState. A connection that was taken over is none of
// the server's any more: its request has been seen.
func (c *callers) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.next++
		c.open[conn] = c.next
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	default:
		return
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// wait waits for the connection from that address, and for the end of all that
// came before it, or of the port.
func (c *callers) wait(ctx context.Context, from string, closed <-chan struct{}) error {
	for {
		settled, changed := c.settled(from)
		if settled {
			return nil
		}
		select {
		case <-changed:
		case <-closed:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *callers) settled(from string) (bool, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var mark uint64
	for conn, n := range c.open {
		if conn.RemoteAddr().String() == from {
			mark = n
		}
	}
	earlier := 0
	for _, n := range c.open {
		if n < mark {
			earlier++
		}
	}
	return mark > 0 && earlier == 0, c.changed
}
