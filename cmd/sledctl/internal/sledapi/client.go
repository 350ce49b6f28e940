package sledapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// Version is the sled API's version that this client speaks; every request
	// names it in the api-version header.
	Version = "48.0.0"
	// NoSuchInstance is the error code for a VMM that the agent does not know.
	NoSuchInstance = "NO_SUCH_INSTANCE"

	dialBudget = 5 * time.Second
	// maxAnswer bounds what is read of an answer, in bytes; all are small.
	maxAnswer = 1 << 20
)

// A Target is a state that a VMM may be told to go to.
type Target string

// The targets that need no further value.
const (
	Running Target = "running"
	Stopped Target = "stopped"
	Reboot  Target = "reboot"
)

// An Error is a request that the sled API refused.
type Error struct {
	// Status is the answer's HTTP status code.
	Status    int    `json:"-"`
	RequestID string `json:"request_id"`
	// Code is empty for most errors.
	Code    string `json:"error_code"`
	Message string `json:"message"`
}

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

// Gone tells whether err says that the agent knows no such VMM, or no longer.
func Gone(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == NoSuchInstance
}

// A Client calls one sled API. Its methods are safe for concurrent use; their
// contexts bound how long they take.
type Client struct {
	base string
	http *http.Client
}

// New returns a Client for the API at a base URL such as http://[::1]:12345.
func New(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("parse sled API URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("parse sled API URL %q: want one such as http://[::1]:12345", base)
	}
	return &Client{base: strings.TrimRight(base, "/"), http: &http.Client{Transport: &http.Transport{
		// The API is on this host or its underlay; a proxy is never in between.
		Proxy:       nil,
		DialContext: (&net.Dialer{Timeout: dialBudget}).DialContext,
	}}}, nil
}

// Close gives back the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Register makes a VMM known; body is an InstanceEnsureBody.
func (c *Client) Register(ctx context.Context, id uuid.UUID, body []byte) (vmm.Record, error) {
	var record vmm.Record
	err := c.call(ctx, http.MethodPut, "/vmms/"+id.String(), body, &record)
	return record, err
}

// SetState tells a VMM where to go. grace is a stop's and may be nil. The
// record is nil where the agent answers before anything has changed.
func (c *Client) SetState(ctx context.Context, id uuid.UUID, to Target, grace *time.Duration) (*vmm.Record, error) {
	path := "/vmms/" + id.String() + "/state"
	if grace != nil {
		path += "?" + url.Values{"grace": {grace.String()}}.Encode()
	}
	body := fmt.Appendf(nil, `{"state":{"type":%q}}`, to)
	return c.update(ctx, http.MethodPut, path, body)
}

// Unregister removes a VMM and hands its state over to the caller: the agent
// publishes nothing of it afterwards. The record is nil for an unknown VMM.
func (c *Client) Unregister(ctx context.Context, id uuid.UUID) (*vmm.Record, error) {
	return c.update(ctx, http.MethodDelete, "/vmms/"+id.String(), nil)
}

// State asks for a VMM's record.
func (c *Client) State(ctx context.Context, id uuid.UUID) (vmm.Record, error) {
	var record vmm.Record
	err := c.call(ctx, http.MethodGet, "/vmms/"+id.String()+"/state", nil, &record)
	return record, err
}

func (c *Client) update(ctx context.Context, method, path string, body []byte) (*vmm.Record, error) {
	var answer struct {
		Updated *vmm.Record `json:"updated_runtime"`
	}
	err := c.call(ctx, method, path, body, &answer)
	return answer.Updated, err
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("api-version", Version)
	req.Header.Set("accept", "application/json")
	if body != nil {
		req.Header.Set("content-type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		var tried *url.Error // names the whole URL; the API's is enough
		if errors.As(err, &tried) {
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
