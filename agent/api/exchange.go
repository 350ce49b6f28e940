package api

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
)

// An exchange is one request and what became of it.
type exchange struct {
	http.ResponseWriter
	id     string
	began  time.Time
	status int
	// cause is why the request failed, in words that the caller may not have got.
	cause error
}

// WriteHeader notes the status on its way.
func (x *exchange) WriteHeader(status int) {
	x.status = status
	x.ResponseWriter.WriteHeader(status)
}

// fail answers with an error, unless an answer was begun already.
func (x *exchange) fail(err error) {
	p := problemOf(err)
	x.cause = p
	if x.status == 0 {
		p.write(x, x.id)
	}
}

// finish is deferred: it turns a panic into an answer and logs the exchange.
func (s *Server) finish(x *exchange, r *http.Request) {
	if v := recover(); v != nil {
		x.fail(fmt.Errorf("panic: %v", v))
		s.o.Log.Error().Str("request_id", x.id).Str("panic", fmt.Sprint(v)).Bytes("stack", debug.Stack()).
			Msg("a handler panicked")
	}
	e := s.o.Log.WithLevel(x.level(r))
	if !e.Enabled() {
		return
	}
	e.Err(x.cause).Str("request_id", x.id).Str("remote", r.RemoteAddr).
		Str("method", r.Method).Str("uri", cut(r.RequestURI)).
		Int("status", x.status).Dur("took_ms", time.Since(x.began)).
		Msg("request")
}

// level is where an exchange is logged: changes are worth a line, reads are not,
// failures of our own stand out.
func (x *exchange) level(r *http.Request) zerolog.Level {
	switch {
	case x.status >= http.StatusInternalServerError:
		return zerolog.WarnLevel
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return zerolog.DebugLevel
	default:
		return zerolog.InfoLevel
	}
}
