package nexussim

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// Handler serves the internal API and the control routes without a port. FaultRefuse
// cuts each connection, since there is no port to close.
func (s *Server) Handler() http.Handler {
	control := s.controlRoutes(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isControl(r) && !s.has(FaultRefuse) {
			control.ServeHTTP(w, r)
			return
		}
		s.serveUpdate(w, r)
	})
}

// has reports whether a fault of the whole port is in force.
func (s *Server) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.faults.find(name, uuid.Nil)
	return ok
}

// A call is one request of the internal API.
type call struct {
	put    Put
	faults faultSet
}

// fault reports whether a fault of that name applies to the call, and records it.
func (c *call) fault(name string) (Fault, bool) {
	f, ok := c.faults.find(name, c.put.VMM)
	if ok {
		c.put.Fault = f.String()
	}
	return f, ok
}

func (s *Server) serveUpdate(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.closing, cancel)()
	r = r.WithContext(ctx)
	dropshot.SetRequestID(w)
	// Only reading the request has a time limit: a fault may hold the answer for longer.
	deadline := http.NewResponseController(w)
	_ = deadline.SetReadDeadline(time.Now().Add(30 * time.Second)) // a recorder does not support it
	id, rec, bad := readUpdate(r)
	_ = deadline.SetReadDeadline(time.Time{})
	now := time.Now()
	seq, faults := s.arrive(id, rec, now)
	c := &call{put: Put{Seq: seq, At: now, VMM: id, Record: rec}, faults: faults}
	// The real server's handlers also continue after the client has disconnected.
	if f, ok := c.fault(FaultDelay); ok {
		dropshot.Sleep(s.closing, f.delay)
	}
	c.put.Effect = Faulted
	act := s.strike(c, false)
	if act == nil {
		act = s.store(c, bad)
	}
	// The rows are updated before the client has its answer.
	s.dealtWith(c.put)
	act(w, r)
}

// strike returns the handler of a fault that replaces the answer, or nil.
func (s *Server) strike(c *call, stored bool) http.HandlerFunc {
	for _, k := range faultKinds {
		if k.act == nil || k.stored != stored {
			continue
		}
		if f, ok := c.faults.find(k.Name, c.put.VMM); ok {
			if act := k.act(s, c, f); act != nil {
				c.put.Fault = f.String()
				return act
			}
		}
	}
	return nil
}

// store carries an update out and returns its answer. The remaining faults affect only
// the answer.
func (s *Server) store(c *call, bad *problem) http.HandlerFunc {
	if bad != nil {
		c.put.Effect = Rejected
	} else if _, lies := c.fault(FaultStaleAccept); lies {
		c.put.Effect = Lied
	} else {
		c.put.Effect, bad = s.apply(c.put.VMM, *c.put.Record)
		if act := s.strike(c, true); act != nil {
			return act
		}
	}
	if bad != nil {
		c.put.Answer, c.put.Message = bad.Status, bad.Message+bad.hidden
		return func(w http.ResponseWriter, _ *http.Request) { bad.Write(w) }
	}
	c.put.Answer = http.StatusNoContent
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
}
