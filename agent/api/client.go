package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

const (
	dialBudget = 5 * time.Second
	// maxAnswer is the maximum size of an answer, in bytes; all are small.
	maxAnswer = 1 << 20
	// userAgent marks sledctl's requests: who asked is then shown to be an operator.
	userAgent = "sledctl"
)

func (e *Error) Error() string {
	text := fmt.Sprintf("the sled API answered %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// Gone reports whether err means that the agent does not have such a VMM.
func Gone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == codeNoSuchInstance
}

// A Client calls a sled API in Nexus's place, for sledctl. It makes each call once. Its
// methods are safe for concurrent use and end with their contexts.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a Client for the API at a base URL such as http://[::1]:12345. secure is
// for https; nil is the default of crypto/tls.
func NewClient(base string, secure *tls.Config) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("parse sled API URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("parse sled API URL %q: want one such as http://[::1]:12345", base)
	}
	return NewClientOver(strings.TrimRight(base, "/"), &http.Transport{
		// The API is on this host or its underlay, so there is no proxy.
		Proxy:           nil,
		DialContext:     (&net.Dialer{Timeout: dialBudget}).DialContext,
		TLSClientConfig: secure,
	}), nil
}

// NewClientOver returns a Client that uses a transport, such as that of the admin socket.
func NewClientOver(base string, transport http.RoundTripper) *Client {
	return &Client{base: base, http: &http.Client{Transport: transport}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Register adds a VMM; body is an InstanceEnsureBody.
func (c *Client) Register(ctx context.Context, id uuid.UUID, body []byte) (vmm.Record, error) {
	var record vmm.Record
	err := c.call(ctx, http.MethodPut, "/vmms/"+id.String(), body, &record)
	return record, err
}

// SetState requests a state of a VMM. grace applies to a stop, soft to a stop or a
// reboot; both may be nil. The record is nil if the agent answers before the change.
func (c *Client) SetState(ctx context.Context, id uuid.UUID, to wire.Target, grace, soft *time.Duration) (*vmm.Record, error) {
	path := "/vmms/" + id.String() + "/state"
	if grace != nil {
		path += "?" + url.Values{"grace": {grace.String()}}.Encode()
	}
	body := fmt.Appendf(nil, `{"state":{"type":%q}}`, to)
	if soft != nil {
		secs := math.Ceil(soft.Seconds()) // at least what was asked for
		body = fmt.Appendf(nil, `{"state":{"type":%q},"acpi_timeout_secs":%.0f}`, to, secs)
	}
	return c.update(ctx, http.MethodPut, path, body)
}

// Unregister removes a VMM and takes over its state: the agent does not publish it
// afterwards. The record is nil for an unknown VMM.
func (c *Client) Unregister(ctx context.Context, id uuid.UUID) (*vmm.Record, error) {
	return c.update(ctx, http.MethodDelete, "/vmms/"+id.String(), nil)
}

func (c *Client) update(ctx context.Context, method, path string, body []byte) (*vmm.Record, error) {
	var answer updated
	err := c.call(ctx, method, path, body, &answer)
	return answer.Runtime, err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set(versionHeader, newestVersion)
	req.Header.Set("accept", "application/json")
	req.Header.Set("user-agent", userAgent)
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		// The error contains the whole URL; that of the API is enough.
		if tried, ok := errors.AsType[*url.Error](err); ok {
			err = tried.Err
		}
		return fmt.Errorf("call the sled API at %s: %w", c.base, err)
	}
	defer func() { _ = res.Body.Close() }()
	in := json.NewDecoder(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode != http.StatusOK {
		refusal := &Error{}
		if in.Decode(refusal) != nil {
			*refusal = Error{Message: "its answer is not the sled API's; is this the right address?"}
		}
		refusal.Status = res.StatusCode
		return refusal
	}
	if err := in.Decode(answer); err != nil {
		return fmt.Errorf("read answer to %s %s: %w", method, path, err)
	}
	return nil
}
