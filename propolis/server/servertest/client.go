package servertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
)

// WaitLimit bounds waits that end at once unless something is broken.
const WaitLimit = 20 * time.Second

// A Client is connected to one server.
type Client struct {
	T    testing.TB
	Base string
	Do   func(*http.Request) (*http.Response, error)
}

// OverSocket serves a handler on a real socket. At the end of the test it calls stop, which
// ends the handler's pending calls.
func OverSocket(t testing.TB, h http.Handler, stop func()) *Client {
	t.Helper()
	listener := httptest.NewServer(h)
	transport := &http.Transport{}
	t.Cleanup(func() {
		stop()
		transport.CloseIdleConnections()
		listener.CloseClientConnections()
		listener.Close()
	})
	client := &http.Client{Transport: transport, Timeout: WaitLimit}
	return &Client{T: t, Base: listener.URL, Do: client.Do}
}

// InProcess calls a handler without a network, for use in synctest bubbles. At the end of the
// test it calls stop.
func InProcess(t testing.TB, h http.Handler, stop func()) *Client {
	t.Helper()
	t.Cleanup(stop)
	do := func(r *http.Request) (*http.Response, error) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Result(), nil
	}
	return &Client{T: t, Base: "http://server", Do: do}
}

// A Reply is a completely read response.
type Reply struct {
	Status int
	Header http.Header
	Body   string
}

// An Error is the API's error.
type Error struct {
	RequestID uuid.UUID `json:"request_id"`
	Message   string
	Code      *string `json:"error_code"`
}

// Err decodes an error.
func (r Reply) Err(t testing.TB) Error { t.Helper(); return Decode[Error](t, r.Body) }

// Code returns the status and, after a space, the error_code if there is one.
func (r Reply) Code(t testing.TB) string {
	t.Helper()
	text := http.StatusText(r.Status)
	if r.Status >= 400 {
		if c := r.Err(t).Code; c != nil {
			text += " " + *c
		}
	}
	return text
}

// Decode decodes a body.
func Decode[T any](t testing.TB, body string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Errorf("decode %q: %v", body, err)
	}
	return v
}

// Request returns a request of version 6.0.0.
func (c *Client) Request(method, path, body string) *http.Request {
	c.T.Helper()
	r, err := http.NewRequestWithContext(c.T.Context(), method, c.Base+path, strings.NewReader(body))
	if err != nil {
		c.T.Fatal(err)
	}
	r.Header.Set("api-version", "6.0.0")
	r.Header.Set("content-type", "application/json")
	return r
}

// Try sends a request that may get no valid answer.
func (c *Client) Try(r *http.Request) (Reply, error) {
	res, err := c.Do(r)
	if err != nil {
		return Reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return Reply{res.StatusCode, res.Header, string(body)}, err
}

// Call sends a request, reads its answer and checks it against the document.
func (c *Client) Call(method, path, body string) Reply {
	c.T.Helper()
	r := c.Request(method, path, body)
	got, err := c.Try(r)
	if err != nil {
		c.T.Errorf("%s %s: %v", method, path, err)
		return Reply{}
	}
	if _, err := uuid.Parse(got.Header.Get("X-Request-Id")); err != nil {
		c.T.Errorf("%s %s: x-request-id: %v", method, path, err)
	}
	conforms(c.T, r, got)
	return got
}

// Want checks a reply's Code.
func (c *Client) Want(r Reply, code string) {
	c.T.Helper()
	if got := r.Code(c.T); got != code {
		c.T.Errorf("got %q, want %q", got, code)
	}
}

// Ensure makes the VM of ColdStart.
func (c *Client) Ensure() Reply { c.T.Helper(); return c.Call("PUT", "/instance", ColdStart) }

// Put requests a state.
func (c *Client) Put(state string) Reply {
	c.T.Helper()
	return c.Call("PUT", "/instance/state", `"`+state+`"`)
}

// Put7 requests a state as API 7 does; no seconds: null.
func (c *Client) Put7(state, secs string) Reply {
	c.T.Helper()
	r := c.Request("PUT", "/instance/state", fmt.Sprintf(`{"state":%q,"acpi_timeout_secs":%s}`, state, secs))
	r.Header.Set("api-version", "7.0.0")
	got, err := c.Try(r)
	if err != nil {
		c.T.Error(err)
	}
	return got
}

// MonitorReply calls the state monitor.
func (c *Client) MonitorReply(gen uint64) Reply {
	c.T.Helper()
	return c.Call("GET", "/instance/state-monitor", fmt.Sprintf(`{"gen":%d}`, gen))
}

// Monitor returns the view of a generation or a later one.
func (c *Client) Monitor(gen uint64) server.View {
	c.T.Helper()
	var v server.View
	r := c.MonitorReply(gen)
	d := json.NewDecoder(bytes.NewReader([]byte(r.Body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil || r.Status != http.StatusOK {
		c.T.Errorf("monitor %d: %d %q: %v", gen, r.Status, r.Body, err)
	}
	return v
}

// Await follows the monitor until it shows a state.
func (c *Client) Await(state server.State) server.View {
	c.T.Helper()
	for gen := uint64(0); ; {
		v := c.Monitor(gen)
		if v.State == state || c.T.Failed() {
			return v
		}
		gen = v.Gen + 1
	}
}

// Begin makes a VM and starts it.
func (c *Client) Begin() {
	c.T.Helper()
	c.Want(c.Ensure(), "Created")
	c.Want(c.Put("Run"), "No Content")
}

// Running makes a VM and starts it, and waits until its guest runs.
func (c *Client) Running() {
	c.T.Helper()
	c.Begin()
	c.Await(server.Running)
}
