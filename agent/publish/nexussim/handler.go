package nexussim

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// Handler serves the internal API and the control routes, so that a test can
// use the server without a port of its own. Where FaultRefuse would close the
// port it can only cut each connection instead of answering.
func (s *Server) Handler() http.Handler {
	control := s.controlRoutes(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isControl(r) && !s.refusing() {
			control.ServeHTTP(w, r)
			return
		}
		s.serveUpdate(w, r)
	})
}

func (s *Server) refusing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.has(FaultRefuse, uuid.Nil)
}

// A call is one request of the internal API on its way through the server.
type call struct {
	put    Put
	faults faultSet
	bad    *problem
}

// fault tells whether a fault of that name meets the call, and if so puts it on
// record.
func (c *call) fault(name string) (Fault, bool) {
	f, ok := c.faults.find(name, c.put.VMM)
	if ok {
		c.put.Fault = f.String()
	}
	return f, ok
}

// maxRequestTime bounds how long a client may take to send its request.
const maxRequestTime = 30 * time.Second

func (s *Server) serveUpdate(w http.ResponseWriter, r *http.Request) {
	setRequestID(w)
	// The bound is on the request alone: a fault may hold the answer for longer.
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(maxRequestTime)) // A recorder has none.
	id, rec, bad := readUpdate(r)
	_ = deadline.SetReadDeadline(time.Time{})
	now := time.Now()
	seq, faults := s.arrive(id, rec, now)
	c := &call{put: Put{Seq: seq, At: now, VMM: id, Record: rec}, faults: faults, bad: bad}
	if f, ok := c.fault(FaultDelay); ok {
		s.pause(f.delay)
	}
	switch act := s.strike(c); {
	case act != nil:
		s.dealtWith(c.put)
		act(w, r)
	case c.bad != nil:
		s.answer(w, c, Rejected, c.bad)
	default:
		s.storeAndAnswer(w, r, c)
	}
}

// An act is what a fault does instead of an answer.
type act func(http.ResponseWriter, *http.Request)

// strike finds the fault that keeps the update from being stored, if any does.
func (s *Server) strike(c *call) act {
	c.put.Effect = Faulted
	if _, ok := c.fault(FaultRefuse); ok {
		return reset
	}
	if _, ok := c.fault(FaultReset); ok {
		return reset
	}
	if _, ok := c.fault(FaultSilent); ok {
		return s.silence
	}
	if f, ok := c.fault(FaultStatus); ok {
		return c.failWith(f.status)
	}
	if f, ok := c.faults.find(FaultFailPercent, c.put.VMM); ok && s.chance(f.percent) {
		c.put.Fault = f.String()
		return c.failWith(http.StatusInternalServerError)
	}
	if _, ok := c.fault(FaultGarbage); ok {
		c.put.Answer = http.StatusOK
		return garbage
	}
	return nil
}

func (c *call) failWith(status int) act {
	p := &problem{status: status, message: http.StatusText(status)}
	c.put.Answer, c.put.Message = status, p.message
	return func(w http.ResponseWriter, _ *http.Request) { p.write(w) }
}

// storeAndAnswer carries a well-formed update out. The faults that are left
// concern only what the client hears of it.
func (s *Server) storeAndAnswer(w http.ResponseWriter, r *http.Request, c *call) {
	if _, ok := c.fault(FaultStaleAccept); ok {
		s.answer(w, c, Lied, nil)
		return
	}
	effect, p := s.store(c.put.VMM, *c.put.Record)
	c.put.Effect = effect
	if _, ok := c.fault(FaultHalf); ok {
		s.dealtWith(c.put)
		s.half(w, r)
		return
	}
	if _, ok := c.fault(FaultLostAnswer); ok {
		s.dealtWith(c.put)
		reset(w, r)
		return
	}
	s.answer(w, c, effect, p)
}

// answer puts on record what is answered and then answers it: a client that
// has its answer finds it in the rows.
func (s *Server) answer(w http.ResponseWriter, c *call, effect Effect, p *problem) {
	c.put.Effect, c.put.Answer = effect, http.StatusNoContent
	if p != nil {
		c.put.Answer, c.put.Message = p.status, p.text()
	}
	s.dealtWith(c.put)
	if p != nil {
		p.write(w)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// pause waits. The server's handlers outlive their client's patience, as those
// of the real one do, so only its own end cuts the wait short.
func (s *Server) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.life.Done():
	}
}

// silence holds the request until the client or the server gives up.
func (s *Server) silence(_ http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-s.life.Done():
	}
	panic(http.ErrAbortHandler)
}

func garbage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "\x00\xff{\"gen\": <<<<") // The client may be gone.
}

// reset cuts the connection so that the peer sees a reset where TCP can do that.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // At worst the connection ends in an orderly way.
	}
	_ = conn.Close()
}

// half sends the first half of the answer and holds the connection.
func (s *Server) half(w http.ResponseWriter, r *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	for _, over := range []context.Context{s.life, r.Context()} {
		stop := context.AfterFunc(over, func() { _ = conn.Close() })
		defer stop()
	}
	_ = conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, "HTTP/1.1 204 No Content\r\nX-Request-Id: "); err == nil {
		_, _ = io.Copy(io.Discard, conn) // Until the client hangs up.
	}
}
