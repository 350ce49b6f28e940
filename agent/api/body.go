package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/internal/conns"
)

const (
	// maxBody is the limit of the reference's configurations
	// (default_request_body_max_bytes).
	maxBody = 1 << 20
	// smallBody is how much of a body is read without accounting. A request to change a
	// state is smaller, so it never waits for memory.
	smallBody = 16 << 10
)

// decode reads and parses a request's body.
func decode[T any](s *Server, c echo.Context, parse func([]byte) (T, error)) (T, error) {
	value, release, err := decodeHeld(s, c, parse)
	if err == nil {
		release()
	}
	return value, err
}

// decodeHeld is decode for a result as large as the body that is kept for a while: the
// body's memory is held until release is called.
func decodeHeld[T any](s *Server, c echo.Context, parse func([]byte) (T, error)) (value T, release func(), err error) {
	r := c.Request()
	if err := checkContentType(r.Header); err != nil {
		return value, nil, err
	}
	if r.ContentLength > maxBody {
		return value, nil, tooLarge(r)
	}
	conns.Receiving(r.Context()) // a DELETE was taken for one without a body
	place := s.bodies.enter(func() {
		// Only reading ends; the answer can still be sent.
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now())
	})
	body, err := readBody(r, place)
	if err == nil {
		conns.Received(r.Context())
		value, err = parsed(s, body, parse)
	}
	if err != nil {
		place.leave()
		return value, nil, err
	}
	return value, place.leave, nil
}

// parsed parses a body. GOMAXPROCS large ones are parsed at a time, since parsing
// takes many times the memory of the body.
func parsed[T any](s *Server, body []byte, parse func([]byte) (T, error)) (T, error) {
	if len(body) > smallBody {
		s.parsing <- struct{}{}
		defer func() { <-s.parsing }()
	}
	return parse(body)
}

// readBody reads a body into memory that place must grant: all at once if its length is
// known, so that waiting bodies hold nothing, otherwise in steps. The server's read
// timeout bounds it.
func readBody(r *http.Request, place *place) ([]byte, error) {
	size := firstStep(r.ContentLength)
	if size > smallBody {
		if err := place.grow(r.Context(), size); err != nil {
			return nil, err
		}
	}
	body := make([]byte, 0, size)
	for {
		if len(body) == cap(body) {
			more := min(2*cap(body), maxBody+1)
			if len(body) > maxBody {
				return nil, tooLarge(r)
			}
			if err := place.grow(r.Context(), more); err != nil {
				return nil, err
			}
			body = append(make([]byte, 0, more), body...)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF) && len(body) <= maxBody:
			place.received()
			return body, nil
		case errors.Is(err, io.EOF):
			return nil, tooLarge(r)
		case err != nil && place.lost():
			return nil, unavailable(errSlowBody)
		case err != nil:
			return nil, &problem{status: http.StatusBadRequest, message: "unable to read the request body", cause: err}
		}
	}
}

// firstStep returns the initial memory of a body. One extra byte allows reading its end
// without growing.
func firstStep(length int64) int {
	if length >= 0 {
		return int(length) + 1
	}
	return smallBody
}

// tooLarge returns the error for a body beyond the limit. It reads part of the rest, so
// that a client only slightly over the limit receives the answer and not a connection
// reset.
func tooLarge(r *http.Request) error {
	_, _ = io.CopyN(io.Discard, r.Body, maxBody)
	return badRequest("request body exceeded maximum size of %d bytes", maxBody)
}

// checkContentType requires JSON. A missing content type counts as JSON, and parameters
// are ignored.
func checkContentType(h http.Header) error {
	values := h["Content-Type"]
	if len(values) == 0 {
		return nil
	}
	mime, _, _ := strings.Cut(values[0], ";")
	if mime = strings.TrimSpace(mime); !strings.EqualFold(mime, "application/json") {
		return badRequest(`expected content type "application/json", got %s`, show(mime))
	}
	return nil
}
