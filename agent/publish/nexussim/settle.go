package nexussim

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Settle waits until every connection to the main port that was opened before the call
// has ended. After a client was killed its last requests may still arrive, and would
// seem to come from the next client.
func (s *Server) Settle(ctx context.Context) error {
	s.gate.mu.Lock()
	p, addr := s.gate.main, s.gate.addr
	s.gate.mu.Unlock()
	if p == nil {
		return nil // closing the port cut its connections
	}
	// Connections are accepted in order, so this one is after all others. If it cannot
	// be opened, the port is being closed.
	mark, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		defer mark.Close()
	}
	for err != nil || !p.callers.settled(mark.LocalAddr().String()) {
		select {
		case <-p.served:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("settle: %w", context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// callers are a port's connections, numbered in order.
type callers struct {
	mu   sync.Mutex
	next uint64
	open map[net.Conn]uint64
}

// note is the server's ConnState hook. A hijacked connection is removed: its request has
// been read.
func (c *callers) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.next++
		c.open[conn] = c.next
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
}

// settled reports whether the connection from that address is open and all earlier ones
// have ended.
func (c *callers) settled(from string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := uint64(0)
	var first net.Conn
	for conn, n := range c.open {
		if first == nil || n < oldest {
			first, oldest = conn, n
		}
	}
	return first != nil && first.RemoteAddr().String() == from
}
