package sim

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis/server"
)

// An interceptor is a server.Interceptor that applies the faults.
type interceptor struct{ *Server }

// Entered implements server.Interceptor.
func (s interceptor) Entered(vm *server.VM, state server.State) {
	if slices.Contains(s.faults.crashIn, state) {
		vm.Later(func() { s.perform(Process.Crash) })
	}
}

// Arrived implements server.Interceptor. It leaves the body unread while a fault demands it.
// Run, stop and reboot cannot be distinguished yet; they hang later.
func (s interceptor) Arrived(x *server.Exchange) {
	if _, ok := s.held(x, "deaf"); !ok {
		x.Abort()
	}
}

// Serve implements server.Interceptor. The faults may have changed when the call was carried
// out.
func (s interceptor) Serve(x *server.Exchange) {
	a := x.Detach(func() server.Answer { return s.carryOut(x) })
	f, ok := s.held(x, "hang", "deaf", "mute")
	if !ok || f.manner == "reset" {
		x.Abort()
	}
	switch f.manner {
	case "garbage":
		x.Writer.Header().Set("Content-Type", "application/json")
		_, _ = x.Writer.Write([]byte(`{"gen":1,"state":"Runn` + "\x00\xff"))
	case "", "crash-before":
		x.Send(a)
	case "crash-on":
		x.Send(a)
		afterAnswer(x.Writer, func() { s.perform(Process.Crash) })
	default:
		spoiled(x, f, a).Send(x.Context, x.Writer)
	}
}

// afterAnswer does something when the answer was sent.
func afterAnswer(w http.ResponseWriter, do func()) {
	_ = http.NewResponseController(w).Flush() // The client may have disconnected.
	do()
}

// held returns a call's faults once its manner is none of the given ones. It returns false
// if the client or the simulator ends first.
func (s *Server) held(x *server.Exchange, manners ...string) (f callFaults, ok bool) {
	for {
		var changed <-chan struct{}
		s.api.Enter(func() { f, changed = s.faults.on[x.Call], s.changed })
		if !slices.Contains(manners, f.manner) {
			return f, true
		}
		select {
		case <-changed:
		case <-x.Context.Done():
			return f, false
		}
	}
}

// carryOut carries a call out according to the current faults. It returns the zero answer
// if there is none. A call that hangs by a fault is never carried out, so it ends with its
// client.
func (s *Server) carryOut(x *server.Exchange) server.Answer {
	s.api.Enter(func() { s.counts[x.Call]++ })
	f, ok := s.held(x, "hang", "deaf")
	if ok && f.slow > 0 && dropshot.Sleep(s.api.Context(), f.slow) {
		f, ok = s.held(x, "hang", "deaf")
	}
	switch {
	case !ok || s.closed():
		return server.Answer{}
	case f.manner == "crash-before":
		s.perform(Process.Crash)
		return server.Answer{}
	case f.manner == "reset":
		return server.Answer{}
	}
	if bad := s.refuse(x.Call); bad != nil {
		return server.Refusal(bad)
	}
	if f.ignore {
		return server.Answer{Status: http.StatusNoContent}
	}
	if x.Call == server.CallMonitor {
		s.countMonitor(1)
		defer s.countMonitor(-1)
	}
	a := x.CarryOut()
	faults := s.Faults()
	switch body := a.Body.(type) {
	case server.View:
		body.Migration = faults.migrations(body.Migration)
		a.Body = body
	case server.Migrations:
		a.Body = faults.migrations(body)
	}
	return a
}

// migrations returns the migrations as changed by faults.
func (f *Faults) migrations(m server.Migrations) server.Migrations {
	if id := f.unknownMigration; id != uuid.Nil {
		for _, side := range []**server.Migration{&m.In, &m.Out} {
			if *side != nil {
				*side = &server.Migration{ID: id, State: (*side).State}
			}
		}
		if m == (server.Migrations{}) {
			m.Out = &server.Migration{ID: id, State: server.ErrorPhase}
		}
	}
	switch {
	case !f.bothMigrations:
	case m.Out != nil: // It was the last one.
		m.In = m.Out
	default:
		m.Out = m.In
	}
	return m
}

func (s *Server) countMonitor(by int) { s.api.Enter(func() { s.monitors += by }) }

// refuse returns the error that a call gets in place of its answer.
func (s *Server) refuse(c server.Call) (bad *dropshot.Error) {
	s.api.Enter(func() {
		r := s.faults.on[c].refuse
		if r.status == 0 || r.times > 0 && s.refused[c] >= r.times {
			return
		}
		s.refused[c]++
		bad = dropshot.Plain(r.status, r.code)
	})
	return bad
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
func spoiled(x *server.Exchange, f callFaults, a server.Answer) dropshot.Raw {
	header, body := raw(a, x.ID)
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
			Head: fmt.Sprintf("HTTP/1.1 307 Temporary Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", x.Path)}
	case "stray":
		strayHeader, strayBody := raw(server.NoInstance(), x.ID)
		return dropshot.Raw{Head: header + body + strayHeader + strayBody, Hold: true}
	}
	return rubbish[f.manner]
}

// raw renders an answer as net/http does.
func raw(a server.Answer, request string) (header, body string) {
	text := a.Encode(request)
	header = fmt.Sprintf("HTTP/1.1 %d %s\r\nX-Request-Id: %s\r\n", a.Status, http.StatusText(a.Status), request)
	if text != nil {
		header += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(text))
	}
	return header + "\r\n", string(text)
}
