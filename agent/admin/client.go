package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// dialBudget bounds connecting to the socket; a running agent accepts at once.
	dialBudget = 5 * time.Second
	// maxAnswer is the maximum size of an answer, in bytes; 1,000 VMMs take about
	// one MiB.
	maxAnswer = 64 << 20
)

// A NoAgentError reports that no agent listens on the admin socket.
type NoAgentError struct {
	Socket string
	Err    error
}

func (e *NoAgentError) Error() string {
	if errors.Is(e.Err, syscall.EACCES) {
		return fmt.Sprintf("the socket %s may be opened by its owner alone", e.Socket)
	}
	return fmt.Sprintf("no agent listens on %s", e.Socket)
}

func (e *NoAgentError) Unwrap() error { return e.Err }

// A Client calls the agent behind an admin socket. Its methods are safe for concurrent
// use and end with their contexts. They return a *NoAgentError if no agent listens and
// an *Error if the agent refuses.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a Client for the socket at that path. It connects on first use.
func NewClient(socket string) *Client {
	dialer := &net.Dialer{Timeout: dialBudget}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, "unix", socket)
			if err != nil && ctx.Err() == nil {
				return nil, &NoAgentError{Socket: socket, Err: err}
			}
			return conn, err
		},
		DisableCompression: true,
	}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// About returns the agent's description.
func (c *Client) About(ctx context.Context) (About, error) {
	return ask[About](ctx, c, http.MethodGet, "/v1/agent")
}

// List returns every VMM's Status, by id, without events.
func (c *Client) List(ctx context.Context) ([]vmm.Status, error) {
	return ask[[]vmm.Status](ctx, c, http.MethodGet, "/v1/vmms")
}

// Ended returns the last Status of every ended VMM that is still kept, latest first,
// without events.
func (c *Client) Ended(ctx context.Context) ([]vmm.Status, error) {
	return ask[[]vmm.Status](ctx, c, http.MethodGet, "/v1/vmms?ended=true")
}

// Show returns one VMM's Status with its events, also of an ended one. See IsUnknown.
func (c *Client) Show(ctx context.Context, id uuid.UUID) (vmm.Status, error) {
	return ask[vmm.Status](ctx, c, http.MethodGet, "/v1/vmms/"+id.String())
}

// Kill starts the removal of a VMM's zone; the VMM ends Destroyed.
func (c *Client) Kill(ctx context.Context, id uuid.UUID) (vmm.Status, error) {
	return ask[vmm.Status](ctx, c, http.MethodPost, "/v1/vmms/"+id.String()+"/kill")
}

// Drain describes whether the sled takes new VMMs.
func (c *Client) Drain(ctx context.Context) (disposition.Status, error) {
	return ask[disposition.Status](ctx, c, http.MethodGet, "/v1/drain")
}

// BeginDrain drains the sled; a nil grace is the agent's default.
func (c *Client) BeginDrain(ctx context.Context, grace *time.Duration) (disposition.Status, error) {
	path := "/v1/drain"
	if grace != nil {
		path += "?" + url.Values{"grace": {grace.String()}}.Encode()
	}
	return ask[disposition.Status](ctx, c, http.MethodPut, path)
}

// EndDrain ends the operator's drain.
func (c *Client) EndDrain(ctx context.Context) (disposition.Status, error) {
	return ask[disposition.Status](ctx, c, http.MethodDelete, "/v1/drain")
}

// Events yields events as they arrive. The last item is an error unless the agent ended
// the stream. With Follow only the agent's exit ends it without an error.
func (c *Client) Events(ctx context.Context, query EventQuery) iter.Seq2[NamedEvent, error] {
	values := url.Values{"follow": {strconv.FormatBool(query.Follow)}, "past": {strconv.Itoa(query.Past)}}
	if query.VMM != uuid.Nil {
		values.Set("vmm", query.VMM.String())
	}
	return func(yield func(NamedEvent, error) bool) {
		body, err := c.do(ctx, http.MethodGet, "/v1/events?"+values.Encode())
		if err != nil {
			yield(NamedEvent{}, err)
			return
		}
		defer func() { _ = body.Close() }()
		for lines := json.NewDecoder(body); ; {
			var e NamedEvent
			switch err := lines.Decode(&e); {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(NamedEvent{}, fmt.Errorf("read events from %s: %w", c.socket, err))
				return
			case !yield(e, nil):
				return
			}
		}
	}
}

func ask[T any](ctx context.Context, c *Client, method, path string) (T, error) {
	var answer T
	body, err := c.do(ctx, method, path)
	if err != nil {
		return answer, err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&answer); err != nil {
		return answer, fmt.Errorf("read answer to %s %s from %s: %w", method, path, c.socket, err)
	}
	return answer, nil
}

// do returns the body of a successful answer, which the caller closes.
func (c *Client) do(ctx context.Context, method, path string) (io.ReadCloser, error) {
	res, err := c.send(ctx, method, path)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer func() { _ = res.Body.Close() }()
	return nil, refusal(res)
}

// send returns an answer, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		if noAgent, ok := errors.AsType[*NoAgentError](err); ok {
			return nil, noAgent
		}
		return nil, fmt.Errorf("ask the agent on %s: %w", c.socket, err)
	}
	return res, nil
}

// refusal returns the error of an answer.
func refusal(res *http.Response) *Error {
	e := &Error{}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(e); err != nil || e.Message == "" {
		e.Message = "the agent answered " + res.Status
	}
	e.Status = res.StatusCode
	return e
}
