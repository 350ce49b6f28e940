package nexussim

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// A gate is the server's ports. The main one can be closed and opened again at the same
// address, like that of a Nexus that is down for a while.
type gate struct {
	// mu serializes opening and closing. Requests do not take it.
	mu      sync.Mutex
	addr    string // of the main port, once it was open
	main    *port
	control *port
	dns     []func() // close the servers of ListenDNS
}

// A port is one listener with all its connections.
type port struct {
	server  *http.Server
	callers *callers
	cut     context.CancelFunc
	served  chan struct{}
}

// Listen opens the main port at host:port and returns its address; port 0 means any free
// one. While FaultRefuse is in force the port is opened and closed again, to determine
// its address. Listen may be called once.
func (s *Server) Listen(addr string) (string, error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.addr != "" || s.closing.Err() != nil {
		return "", fmt.Errorf("listen on %s: already listening, or closed", addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	s.gate.addr = ln.Addr().String()
	if s.has(FaultRefuse) {
		return s.gate.addr, ln.Close()
	}
	s.gate.main = s.open(s.secured(ln), s.Handler())
	return s.gate.addr, nil
}

// ListenControl opens a port that serves only the control routes and is not subject to
// faults. It returns its address and may be called once.
func (s *Server) ListenControl(addr string) (string, error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s for control: %w", addr, err)
	}
	s.gate.control = s.open(ln, s.controlRoutes(false))
	return ln.Addr().String(), nil
}

// secured returns the listener, with TLS if the options have it.
func (s *Server) secured(ln net.Listener) net.Listener {
	if s.tls == nil {
		return ln
	}
	return tls.NewListener(ln, s.tls)
}

// follow opens or closes the main port according to the current faults. It does nothing
// before Listen.
func (s *Server) follow() error {
	g := &s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	open := !s.has(FaultRefuse)
	switch {
	case g.addr == "" || open == (g.main != nil):
		return nil
	case !open:
		g.main.close()
		g.main = nil
		return nil
	}
	// An outgoing connection of another program may occupy the port for a moment.
	for end := time.Now().Add(3 * time.Second); ; dropshot.Sleep(s.closing, 10*time.Millisecond) {
		ln, err := net.Listen("tcp", g.addr)
		if err == nil {
			g.main = s.open(s.secured(ln), s.Handler())
			return nil
		}
		if s.closing.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("listen again on %s: %w", g.addr, err)
		}
	}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range []*port{g.main, g.control} {
		if p != nil {
			p.close()
		}
	}
	for _, end := range g.dns {
		end()
	}
	g.main, g.control, g.dns, g.addr = nil, nil, nil, ""
}

func (s *Server) open(ln net.Listener, h http.Handler) *port {
	ctx, cut := context.WithCancel(s.closing)
	p := &port{callers: &callers{open: map[net.Conn]uint64{}}, cut: cut, served: make(chan struct{})}
	main := s.gate.addr == ln.Addr().String()
	p.server = &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState: func(conn net.Conn, state http.ConnState) {
			p.callers.note(conn, state)
			if state == http.StateNew && main && s.has(FaultCut) {
				resetConn(conn)
			}
		},
		ErrorLog: log.New(io.Discard, "", 0), // broken connections are intended
	}
	go func() {
		defer close(p.served)
		if err := p.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			cut()
		}
	}()
	return p
}

// close closes the listener, then cuts every connection.
func (p *port) close() {
	_ = p.server.Close() // the listener is closed even on error
	p.cut()
	<-p.served
}
