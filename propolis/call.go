package propolis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// maxAnswer is the longest answer that is read, in bytes. Propolis's are a few
// hundred long.
const maxAnswer = 64 << 10

var (
	errOversized  = fmt.Errorf("answer is longer than %d bytes", maxAnswer)
	errIncomplete = errors.New("answer lacks a required field")
)

// A call is one request of the API and the one status that means success.
type call struct {
	op, method, path string
	body             []byte // nil for none
	want             int
	// replay permits to send the request again on a new connection if a kept one
	// turns out to be dead before an answer began.
	replay bool
}

// An answer is a response's status and whole body.
type answer struct {
	status int
	body   []byte
}

// do makes the call and returns the body of the answer that means success.
func (c *Client) do(ctx context.Context, k call) ([]byte, error) {
	a, err := c.roundTrip(ctx, k)
	if err != nil {
		return nil, err
	}
	if a.status == k.want {
		return a.body, nil
	}
	e := &Error{Op: k.op, Status: a.status}
	e.Code, e.Message = readErrorBody(a.body)
	if e.Kind = answerKind(a.status, e.Code); e.Kind == Malformed {
		e.Err = fmt.Errorf("want status %d", k.want)
	}
	return nil, e
}

// roundTrip makes the call and returns whatever is answered.
func (c *Client) roundTrip(ctx context.Context, k call) (answer, error) {
	resp, err := c.send(ctx, k)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	// After a switch of protocols the body is a bare connection, which ctx no
	// longer ends.
	if a.status == http.StatusSwitchingProtocols {
		return a, nil
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return answer{}, &Error{Op: k.op, Status: a.status, Kind: transportKind(ctx, err, true), Err: err}
	}
	if len(a.body) > maxAnswer {
		return answer{}, &Error{Op: k.op, Status: a.status, Kind: Malformed, Err: errOversized}
	}
	return a, nil
}

// send makes the call and returns the answer with its body still unread.
func (c *Client) send(ctx context.Context, k call) (*http.Response, error) {
	var begun atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotFirstResponseByte: func() { begun.Store(true) }})
	req, err := c.request(traced, k)
	if err != nil {
		return nil, &Error{Op: k.op, Kind: Refused, Err: fmt.Errorf("make request: %w", err)}
	}
	// The transport is called directly because http.Client follows redirects,
	// and looks at where they lead even when it is told not to.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, &Error{Op: k.op, Kind: transportKind(ctx, err, begun.Load()), Err: err}
	}
	return resp, nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	var body io.Reader
	if k.body != nil {
		body = bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, "http://"+c.host+k.path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Api-Version", c.version)
	req.Header.Set("User-Agent", "sled-agent")
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case k.replay:
		// An empty value marks the request for net/http and is not sent.
		req.Header["Idempotency-Key"] = nil
	case k.method == http.MethodGet:
		// net/http replays a GET by itself if it can have the body again. A watch
		// would then call twice as often as it means to.
		req.GetBody = nil
	}
	return req, nil
}

// malformed is the error for an answer with the right status and a wrong body.
func (k call) malformed(err error) error {
	return &Error{Op: k.op, Status: k.want, Kind: Malformed, Err: fmt.Errorf("read answer: %w", err)}
}

// readErrorBody returns what an error body says, empty where it says nothing
// that can be read: the status counts then.
func readErrorBody(body []byte) (code, message string) {
	var e struct {
		Code    any `json:"error_code"`
		Message any `json:"message"`
	}
	// A field of a wrong type does not keep the other from being read.
	_ = json.Unmarshal(body, &e)
	code, _ = e.Code.(string)
	message, _ = e.Message.(string)
	return oneLine(code, maxText), oneLine(message, maxText)
}
