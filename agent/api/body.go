package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// maxBody is the limit of the reference's configurations
	// (default_request_body_max_bytes).
	maxBody = 1 << 20
	// smallBody is how much of a body is read without asking. Only
	// registrations are ever larger, so no stop waits for another body.
	smallBody = 64 << 10
	// largeBodies is how many bodies beyond smallBody are in memory at a time,
	// and largeWait how long one waits for its turn.
	largeBodies = 16
	largeWait   = 5 * time.Second
)

// decode reads a request's body and makes of it what parse does.
func decode[T any](s *Server, r *http.Request, parse func([]byte) (T, error)) (T, error) {
	var none T
	if err := checkContentType(r.Header); err != nil {
		return none, err
	}
	if r.ContentLength > maxBody {
		return none, tooLarge(r)
	}
	body, err := readUpTo(r, nil, smallBody)
	if err != nil {
		return none, err
	}
	if len(body) > smallBody {
		if err := s.takeTurn(r); err != nil {
			return none, err
		}
		defer func() { <-s.large }()
		if body, err = readUpTo(r, body, maxBody); err != nil {
			return none, err
		}
	}
	if len(body) > maxBody {
		return none, tooLarge(r)
	}
	return parse(body)
}

// readUpTo appends to body until the request's body ends or body has one byte
// more than limit. The server's read timeout bounds it.
func readUpTo(r *http.Request, body []byte, limit int) ([]byte, error) {
	more, err := io.ReadAll(io.LimitReader(r.Body, int64(limit+1-len(body))))
	if err != nil {
		return nil, &problem{status: http.StatusBadRequest, message: "unable to read the request body", cause: err}
	}
	if body == nil {
		return more, nil
	}
	return append(body, more...), nil
}

var errManyBodies = errors.New("too many large bodies are being read")

// takeTurn waits until one more large body may be read.
func (s *Server) takeTurn(r *http.Request) error {
	timer := time.NewTimer(largeWait)
	defer timer.Stop()
	select {
	case s.large <- struct{}{}:
		return nil
	case <-timer.C:
	case <-r.Context().Done():
	}
	return &problem{status: http.StatusServiceUnavailable, cause: errManyBodies}
}

// tooLarge makes the error for a body beyond the limit. It reads a part of what
// is left, so that a client which is only a little over it is done sending when
// the answer comes and does not see a reset connection instead.
func tooLarge(r *http.Request) error {
	_, _ = io.CopyN(io.Discard, r.Body, maxBody)
	return badRequest("request body exceeded maximum size of %d bytes", maxBody)
}

// checkContentType wants JSON. No content type at all is taken for it, and
// parameters mean nothing.
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
