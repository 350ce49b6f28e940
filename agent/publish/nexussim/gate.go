package nexussim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// A gate is the server's ports. The main one can be closed and opened again at
// the same address, which is how a Nexus looks that is down.
type gate struct {
	// mu keeps openings and closings apart. No request takes it.
	mu      sync.Mutex
	addr    string // of the main port, once it was open
	main    *port
	control *port
	handler http.Handler
}

// A port is one listener with all its connections.
type port struct {
	server  *http.Server
	callers *callers
	cut     context.CancelFunc
	served  chan struct{}
}

// Listen opens the main port at host:port and returns the address it got; port
// 0 is any free one. While FaultRefuse is in force it is only reserved in name:
// the address is found out and closed again. Listen may be called once.
func (s *Server) Listen(addr string) (string, error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.life.Err() != nil {
		return "", fmt.Errorf("listen on %s: server is closed", addr)
	}
	if s.gate.addr != "" {
		return "", fmt.Errorf("listen on %s: already listening on %s", addr, s.gate.addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	s.gate.addr, s.gate.handler = ln.Addr().String(), s.Handler()
	if s.refusing() {
		return s.gate.addr, ln.Close()
	}
	s.gate.main = serve(s.life, ln, s.gate.handler)
	return s.gate.addr, nil
}

// ListenControl opens a port that serves the control routes alone and that no
// fault closes. It returns the address it got and may be called once.
func (s *Server) ListenControl(addr string) (string, error) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.control != nil {
		return "", fmt.Errorf("listen on %s for control: already listening", addr)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s for control: %w", addr, err)
	}
	s.gate.control = serve(s.life, ln, s.controlRoutes(false))
	return ln.Addr().String(), nil
}

// follow opens or closes the main port, as refusing says by the time that it is
// this caller's turn. A server that was never told to listen has no port.
func (g *gate) follow(ctx context.Context, refusing func() bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	open := !refusing()
	switch {
	case g.addr == "" || open == (g.main != nil):
		return nil
	case !open:
		g.main.close()
		g.main = nil
		return nil
	}
	ln, err := reopen(ctx, g.addr)
	if err != nil {
		return err
	}
	g.main = serve(ctx, ln, g.handler)
	return nil
}

// reopen takes an address once more. Another program's outgoing connection may
// hold the port for a moment, so it is tried for a while.
func reopen(ctx context.Context, addr string) (net.Listener, error) {
	var ln net.Listener
	policy := backoff.NewExponentialBackOff(backoff.WithInitialInterval(5*time.Millisecond),
		backoff.WithMaxInterval(100*time.Millisecond), backoff.WithMaxElapsedTime(3*time.Second))
	err := backoff.Retry(func() (err error) {
		ln, err = net.Listen("tcp", addr)
		return err
	}, backoff.WithContext(policy, ctx))
	if err != nil {
		return nil, fmt.Errorf("listen again on %s: %w", addr, err)
	}
	return ln, nil
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range []*port{g.main, g.control} {
		if p != nil {
			p.close()
		}
	}
	g.main, g.control, g.addr = nil, nil, ""
}

func serve(parent context.Context, ln net.Listener, h http.Handler) *port {
	ctx, cut := context.WithCancel(parent)
	p := &port{callers: newCallers(), cut: cut, served: make(chan struct{})}
	p.server = &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ConnState:         p.callers.note,
		ErrorLog:          discardLog,
	}
	go func() {
		defer close(p.served)
		if err := p.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			cut()
		}
	}()
	return p
}

// close takes the listener away, then cuts every connection.
func (p *port) close() {
	_ = p.server.Close() // The listener's error: it is closed either way.
	p.cut()
	<-p.served
}
