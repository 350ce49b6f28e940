package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"github.com/sledagent/sledagent/internal/dropshot"
)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	x := &exchange{s: s, w: w, ctx: ctx, id: dropshot.SetRequestID(w), path: r.URL.EscapedPath()}
	if segments, err := dropshot.Split(r.URL); err == nil && len(segments) > 0 && segments[0] == "sim" {
		x.send(s.control(r, segments[1:]))
		return
	}
	c, op, bad := x.read(r)
	if bad != nil {
		x.send(refusal(bad))
		return
	}
	x.deliver(c, x.detached(c, op))
}

// An exchange is one request and its response.
type exchange struct {
	s    *Server
	w    http.ResponseWriter
	ctx  context.Context // ends with the client or the simulator
	id   string
	path string
}

// held returns a call's faults once its manner is none of the given ones. It returns false
// if the client or the simulator ends first.
func (x *exchange) held(c call, manners ...string) (callFaults, bool) {
	for {
		f, changed := x.s.meet(c)
		if !slices.Contains(manners, f.manner) {
			return f, true
		}
		select {
		case <-changed:
		case <-x.ctx.Done():
			return f, false
		}
	}
}

// stayDeaf leaves the body unread while a fault demands it. Run, stop and reboot cannot be
// distinguished yet; they hang later.
func (x *exchange) stayDeaf(c call) {
	if _, ok := x.held(c, "deaf"); !ok {
		x.abort()
	}
}

// detached carries a call out in a goroutine of its own, which goes on when the client
// disconnects, like Propolis's handlers.
func (x *exchange) detached(c call, op operation) answer {
	done := make(chan answer, 1)
	go func() { done <- x.carryOut(c, op) }()
	var a answer
	select {
	case a = <-done:
	case <-x.ctx.Done():
	}
	if a.status == 0 {
		x.abort()
	}
	return a
}

// carryOut carries a call out according to the current faults. It returns the zero answer
// if there is none. A call that hangs by a fault is never carried out, so it ends with its
// client.
func (x *exchange) carryOut(c call, op operation) answer {
	x.s.lock()
	x.s.counts[c]++
	x.s.unlock()
	f, ok := x.held(c, "hang", "deaf")
	if ok && f.slow > 0 && dropshot.Sleep(x.s.ctx, f.slow) {
		f, ok = x.held(c, "hang", "deaf")
	}
	switch {
	case !ok || x.s.closed():
		return answer{}
	case f.manner == "crash-before":
		x.s.perform(Process.Crash)
		return answer{}
	case f.manner == "reset":
		return answer{}
	}
	if bad := x.s.refuse(c); bad != nil {
		return refusal(bad)
	}
	if f.ignore {
		return answer{status: http.StatusNoContent}
	}
	return op(x.s.ctx)
}

// deliver sends the answer as the current faults demand. They may have changed since the
// call was carried out.
func (x *exchange) deliver(c call, a answer) {
	f, ok := x.held(c, "hang", "deaf", "mute")
	if !ok || f.manner == "reset" {
		x.abort()
	}
	switch f.manner {
	case "garbage":
		x.write(http.StatusOK, []byte(`{"gen":1,"state":"Runn`+"\x00\xff"))
	case "", "crash-before":
		x.send(a)
	case "crash-on":
		a.after = func() { x.s.perform(Process.Crash) }
		x.send(a)
	default:
		x.spoiled(f, a).Send(x.ctx, x.w)
	}
}

// rubbish maps manners to what is sent in place of the answer.
var rubbish = map[string]dropshot.Raw{
	"babble":  {Head: "\x16\x03\x01no-HTTP\r\n\r\n"},
	"flood":   {Head: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", Again: "["},
	"headers": {Head: "HTTP/1.1 200 OK\r\n", Again: "X-Header: value\r\n"},
	"interim": {Again: "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"},
	"switch": {Head: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: nothing\r\n\r\n",
		Again: "\x00"},
}

// spoiled returns the modified answer for the faults.
func (x *exchange) spoiled(f callFaults, a answer) dropshot.Raw {
	header, body := x.raw(a)
	switch f.manner {
	case "half":
		if body == "" {
			header = header[:len(header)/2]
		}
		return dropshot.Raw{Head: header + body[:len(body)/2], Hold: true}
	case "trickle":
		return dropshot.Raw{Slow: header + body, Pause: f.every}
	case "redirect":
		return dropshot.Raw{Hold: true,
			Head: fmt.Sprintf("HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", x.path)}
	case "stray":
		strayHeader, strayBody := x.raw(noInstance())
		return dropshot.Raw{Head: header + body + strayHeader + strayBody, Hold: true}
	}
	return rubbish[f.manner]
}

// raw renders an answer as net/http does.
func (x *exchange) raw(a answer) (header, body string) {
	text := a.encode(x.id)
	header = fmt.Sprintf("HTTP/1.1 %d %s\r\nX-Request-Id: %s\r\n", a.status, http.StatusText(a.status), x.id)
	if text != nil {
		header += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(text))
	}
	return header + "\r\n", string(text)
}

// send sends an answer unmodified.
func (x *exchange) send(a answer) {
	if e, bad := a.body.(*dropshot.Error); bad {
		e.Headers(x.w.Header())
	}
	x.write(a.status, a.encode(x.id))
	if a.after != nil {
		_ = http.NewResponseController(x.w).Flush() // The client may have disconnected.
		a.after()
	}
}

func (x *exchange) write(status int, body []byte) {
	if body != nil {
		x.w.Header().Set("Content-Type", "application/json")
		x.w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	}
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // The client may have disconnected.
}

// encode returns the answer's body. Errors include the request's id.
func (a answer) encode(request string) []byte {
	switch body := a.body.(type) {
	case nil:
		return nil
	case *dropshot.Error:
		return body.Body(request)
	}
	return encode(a.body)
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // all of these values can be encoded
	}
	return text
}

// abort closes the connection in place of a response.
func (x *exchange) abort() { panic(http.ErrAbortHandler) }

// meet returns the faults of a call and a channel that is closed when they change.
func (s *Server) meet(c call) (callFaults, <-chan struct{}) {
	s.lock()
	defer s.unlock()
	return s.faults.on[c], s.wait()
}

// refuse returns the error that a call gets in place of its answer.
func (s *Server) refuse(c call) *dropshot.Error {
	s.lock()
	defer s.unlock()
	r := s.faults.on[c].refuse
	if r.status == 0 || r.times > 0 && s.refused[c] >= r.times {
		return nil
	}
	s.refused[c]++
	return dropshot.Plain(r.status, r.code)
}
