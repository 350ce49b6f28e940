package sim

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	x := &exchange{s: s, w: w, ctx: ctx, id: uuid.New()}
	w.Header().Set("X-Request-Id", x.id.String())
	if segments, err := split(r.URL); err == nil && len(segments) > 0 && segments[0] == "sim" {
		x.send(s.control(r, segments[1:]))
		return
	}
	c, op, refusal := x.read(r)
	if refusal != nil {
		x.send(refusal.answer())
		return
	}
	x.deliver(c, x.carryOut(c, op))
}

// An exchange is one request and its response.
type exchange struct {
	s   *Server
	w   http.ResponseWriter
	ctx context.Context // ends with the client or the simulator
	id  uuid.UUID
}

// read finds out which call a request is. The version is judged first, then the
// path, then the body.
func (x *exchange) read(r *http.Request) (call, operation, *apiError) {
	v, refusal := requestVersion(r.Header, x.s.newest)
	if refusal != nil {
		return 0, nil, refusal
	}
	e, vars, refusal := route(r.Method, r.URL)
	if refusal != nil {
		return 0, nil, refusal
	}
	in := incoming{version: v, vars: vars}
	if e.json {
		x.stayDeaf(e.call)
		if in.body, refusal = readBody(r); refusal != nil {
			return 0, nil, refusal
		}
	}
	return e.read(x.s, in)
}

// stayDeaf leaves the body unread while the faults say so. Run, stop and reboot
// cannot be told apart here; they hang later.
func (x *exchange) stayDeaf(c call) {
	for c != callRun {
		f, changed := x.s.meet(c)
		if f.manner != deaf {
			return
		}
		x.await(changed)
	}
}

// carryOut does a call as the faults of the moment have it.
func (x *exchange) carryOut(c call, op operation) answer {
	x.s.count(c)
	for slept := false; ; {
		f, changed := x.s.meet(c)
		switch {
		case f.slow > 0 && !slept:
			x.sleep(f.slow)
			slept = true
			continue
		case f.manner == hang || f.manner == deaf:
			x.await(changed)
			continue
		case f.manner == crashAt:
			x.s.perform(Process.Crash)
			x.abort()
		case f.manner == reset:
			x.abort()
		}
		if refusal := x.s.refuse(c); refusal != nil {
			return refusal.answer()
		}
		if f.ignore {
			return answer{status: http.StatusNoContent}
		}
		return x.finished(op)
	}
}

// finished does the operation; one that its client did not wait for has no answer.
func (x *exchange) finished(op operation) answer {
	a := op(x.ctx)
	if a.status == 0 {
		x.abort()
	}
	return a
}

// await waits for a change of faults, sleep for a while; both break off the
// exchange when there is nobody to wait for any more.
func (x *exchange) await(changed <-chan struct{}) {
	select {
	case <-changed:
	case <-x.ctx.Done():
		x.abort()
	}
}

func (x *exchange) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.ctx.Done():
		x.abort()
	}
}

// abort closes the connection in place of a response.
func (x *exchange) abort() { panic(http.ErrAbortHandler) }

// meet returns the faults of a call and a channel that is closed when they change.
func (s *Server) meet(c call) (callFaults, <-chan struct{}) {
	s.lock()
	defer s.unlock()
	f := s.faults.on[c]
	if f.manner == properly {
		return f, nil
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return f, s.changed
}

func (s *Server) count(c call) {
	s.lock()
	defer s.unlock()
	s.counts[c]++
}

// refuse returns the error that a call is to get in place of its answer.
func (s *Server) refuse(c call) *apiError {
	s.lock()
	defer s.unlock()
	r := s.faults.on[c].refuse
	if r.status == 0 || r.times > 0 && s.refused[c] >= r.times {
		return nil
	}
	s.refused[c]++
	return plain(r.status, r.code)
}
