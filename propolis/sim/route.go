package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxBody is the limit of the API in production, in bytes.
const maxBody = 1 << 20

// incoming is a request as the endpoints see it.
type incoming struct {
	version Version
	vars    []string // what stood for the path's variables
	body    []byte
}

// An operation carries a call out. It may wait, though not longer than ctx.
type operation func(ctx context.Context) answer

// An endpoint is one method of one path.
type endpoint struct {
	method string
	path   []string // "*" stands for any segment
	call   call     // of a state request: callRun; which one it is, the body says
	json   bool     // has a body
	read   func(*Server, incoming) (call, operation, *apiError)
}

var endpoints = []endpoint{
	{"GET", []string{"instance"}, callGet, false, (*Server).readGet},
	{"PUT", []string{"instance"}, callEnsure, true, (*Server).readEnsure},
	{"PUT", []string{"instance", "state"}, callRun, true, (*Server).readState},
	{"GET", []string{"instance", "state-monitor"}, callMonitor, true, (*Server).readMonitor},
	{"GET", []string{"instance", "spec"}, callSpec, false, (*Server).readSpec},
	{"GET", []string{"instance", "migration-status"}, callMigration, false, (*Server).readMigration},
	{"POST", []string{"instance", "disk", "*", "snapshot", "*"}, callSnapshot, false, (*Server).readSnapshot},
}

// route finds the endpoint and what stands for its path's variables.
func route(method string, u *url.URL) (*endpoint, []string, *apiError) {
	segments, err := split(u)
	if err != nil {
		return nil, nil, badRequest(err.Error())
	}
	var allowed []string
	for i := range endpoints {
		e := &endpoints[i]
		vars, ok := match(e.path, segments)
		if ok && e.method == method {
			return e, vars, nil
		}
		if ok {
			allowed = append(allowed, e.method)
		}
	}
	if allowed == nil {
		return nil, nil, plain(http.StatusNotFound, "")
	}
	refusal := plain(http.StatusMethodNotAllowed, "")
	refusal.allow = strings.Join(allowed, ", ")
	return nil, nil, refusal
}

// split cuts a path at its slashes and decodes each segment by itself. Empty
// segments do not count.
func split(u *url.URL) ([]string, error) {
	var segments []string
	for raw := range strings.SplitSeq(u.EscapedPath(), "/") {
		if raw == "" {
			continue
		}
		segment, err := url.PathUnescape(raw)
		if err != nil {
			return nil, fmt.Errorf("path segment %q: %w", raw, err)
		}
		if segment == "." || segment == ".." {
			return nil, errors.New("dot-segments are not permitted")
		}
		segments = append(segments, segment)
	}
	return segments, nil
}

func match(path, segments []string) (vars []string, ok bool) {
	ok = slices.EqualFunc(path, segments, func(want, got string) bool {
		if want == "*" {
			vars = append(vars, got)
			return true
		}
		return want == got
	})
	return vars, ok
}

// readBody takes a JSON body of at most maxBody bytes; no content type means JSON.
func readBody(r *http.Request) ([]byte, *apiError) {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		kind, _, _ := strings.Cut(ct, ";")
		if kind, _, err := mime.ParseMediaType(kind); err != nil || kind != "application/json" {
			return nil, badRequest(fmt.Sprintf("expected content type \"application/json\", got %q", ct))
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, badRequest("unable to read request body")
	case len(body) > maxBody:
		return nil, badRequest(fmt.Sprintf("request body exceeded maximum size of %d bytes", maxBody))
	}
	return firstValue(body)
}

// firstValue cuts off what follows the first JSON value: nobody looks at it.
func firstValue(body []byte) ([]byte, *apiError) {
	var first json.RawMessage
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&first); err != nil {
		return nil, badJSON(err.Error())
	}
	return first, nil
}
