package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// An Exchange is one request and its response.
type Exchange struct {
	Call Call
	// Context ends with the client or the Server.
	Context context.Context
	Writer  http.ResponseWriter
	// ID is the request's, Path its escaped path.
	ID, Path string

	s  *Server
	op operation
	// direct serves a request for the console, which is not intercepted, in place of op. It
	// returns an error that was not sent.
	direct func() *dropshot.Error
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	x := &Exchange{s: s, Writer: w, Context: ctx, ID: dropshot.SetRequestID(w), Path: r.URL.EscapedPath()}
	bad := x.read(r)
	if bad == nil && x.direct == nil {
		s.interceptor.Serve(x)
		return
	}
	if bad == nil {
		bad = x.direct()
	}
	if bad != nil {
		x.Send(Refusal(bad))
	}
}

// CarryOut carries the call out, even if the client has disconnected. It returns the zero
// Answer if the Server is closed meanwhile.
func (x *Exchange) CarryOut() Answer { return x.op(x.s.ctx) }

// Detach calls do, usually CarryOut, in a goroutine of its own, which goes on when the client
// disconnects, like Propolis's handlers. It aborts if there is no answer.
func (x *Exchange) Detach(do func() Answer) Answer {
	done := make(chan Answer, 1)
	go func() { done <- do() }()
	var a Answer
	select {
	case a = <-done:
	case <-x.Context.Done():
	}
	if a.Status == 0 {
		x.Abort()
	}
	return a
}

// Abort closes the connection in place of a response.
func (x *Exchange) Abort() { panic(http.ErrAbortHandler) }

// Send sends an answer.
func (x *Exchange) Send(a Answer) { a.Send(x.Writer, x.ID) }

// An Answer is a complete response before it is sent.
type Answer struct {
	Status int
	Body   any // encoded as JSON; nil for none
}

// Send sends the answer to the request with this id.
func (a Answer) Send(w http.ResponseWriter, request string) {
	if e, bad := a.Body.(*dropshot.Error); bad {
		e.Headers(w.Header())
	}
	body := a.Encode(request)
	if body != nil {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(body) // The client may have disconnected.
}

// Encode returns the answer's body. Errors include the request's id.
func (a Answer) Encode(request string) []byte {
	switch body := a.Body.(type) {
	case nil:
		return nil
	case *dropshot.Error:
		return body.Body(request)
	}
	return encode(a.Body)
}

func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // all of these values can be encoded
	}
	return text
}
