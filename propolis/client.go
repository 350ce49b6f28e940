package propolis

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/google/uuid"
)

// Defaults of Options.
const (
	DefaultAPIVersion     = "6.0.0"
	DefaultRequestTimeout = 15 * time.Second
)

// Options change how a Client calls. The zero value is fit for use.
type Options struct {
	// APIVersion goes with each request; a server refuses versions newer than
	// its own. Empty: DefaultAPIVersion.
	APIVersion string
	// RequestTimeout is the budget of each call that is answered at once, from
	// the dial to the answer's last byte. 0 or less: DefaultRequestTimeout.
	RequestTimeout time.Duration
	// Transport carries the requests. nil: one of the client's own, which
	// bounds connections, buffers and headers, and uses no proxy.
	Transport http.RoundTripper
}

// A Client calls one Propolis server. It is safe for concurrent use, and no
// call waits for another: each has a connection to itself. It makes each call
// once. All errors of its calls are *Error.
type Client struct {
	host      string
	version   string
	timeout   time.Duration
	transport http.RoundTripper
}

// NewClient returns a Client for the server at addr. It connects to nothing yet.
func NewClient(addr netip.AddrPort, o Options) *Client {
	c := &Client{
		host:      netip.AddrPortFrom(addr.Addr().WithZone(""), addr.Port()).String(),
		version:   o.APIVersion,
		timeout:   o.RequestTimeout,
		transport: o.Transport,
	}
	if c.version == "" {
		c.version = DefaultAPIVersion
	}
	if c.timeout <= 0 {
		c.timeout = DefaultRequestTimeout
	}
	if c.transport == nil {
		c.transport = newTransport(addr)
	}
	return c
}

const (
	// dialTimeout bounds a dial that its caller has given up: net/http goes on
	// with it. The server is on this host, or was.
	dialTimeout = 5 * time.Second
	// idleTimeout is short, since an idle connection costs two goroutines and
	// only bursts of observations gain by it.
	idleTimeout = 5 * time.Second
	// bufferSize suits answers of a few hundred bytes; larger bodies bypass it.
	bufferSize = 1 << 10
	maxHeader  = 8 << 10
)

// newTransport returns a transport that keeps one idle connection and sets no
// limit to those in use: a limit would have a stop wait for a call that hangs.
func newTransport(addr netip.AddrPort) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr.String())
		},
		DisableCompression:     true,
		MaxIdleConns:           1,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
	}
}

// Ready tells whether the server answers HTTP at all, whatever its status: one
// without a VM says 424 and is up. What it says beside the status is not read.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(ctx, call{op: "GET /instance", method: http.MethodGet, path: "/instance"})
	if err != nil {
		return err
	}
	resp.Body.Close()
	return nil
}

// Ensure makes the VM. It returns once the VM's objects exist; nothing runs
// until Put(Run), except that a migration target starts by itself. That may
// take long and is bounded by ctx alone. A VM that is there already is
// AlreadyInitialized, also for an identical request.
func (c *Client) Ensure(ctx context.Context, r EnsureRequest) error {
	const op = "PUT /instance"
	request, err := r.encode()
	if err != nil {
		return &Error{Op: op, Kind: Refused, Err: fmt.Errorf("encode request: %w", err)}
	}
	k := call{op: op, method: http.MethodPut, path: "/instance", body: request, want: http.StatusCreated}
	_, err = c.do(ctx, k)
	return err // 201 says it all; a VM that exists is not lost over what the body says of it
}

// Put asks the VM to do something. Success means that Propolis has queued it,
// not that it is done.
func (c *Client) Put(ctx context.Context, a Action) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	op := "PUT /instance/state " + string(a)
	switch a {
	case Run, Stop, Reboot:
	default:
		return &Error{Op: op, Kind: Refused, Err: fmt.Errorf("no such action %q", a)}
	}
	_, err := c.do(ctx, call{
		op: op, method: http.MethodPut, path: "/instance/state", want: http.StatusNoContent,
		body:   fmt.Appendf(nil, "%q", a),
		replay: a != Reboot,
	})
	return err
}

// Snapshot has the Crucible backend whose component key is disk make a snapshot
// of that id.
func (c *Client) Snapshot(ctx context.Context, disk string, snapshot uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	path := "/instance/disk/" + url.PathEscape(disk) + "/snapshot/" + snapshot.String()
	k := call{op: "POST " + path, method: http.MethodPost, path: path, want: http.StatusOK}
	if disk == "" || disk == "." || disk == ".." {
		return &Error{Op: k.op, Kind: Refused, Err: fmt.Errorf("disk %q cannot be part of a path", disk)}
	}
	body, err := c.do(ctx, k)
	if err == nil && string(bytes.TrimSpace(body)) != "null" {
		return k.malformed(fmt.Errorf("want null, got %s", oneLine(string(body), 64)))
	}
	return err
}

// Close frees the connections that are idle. Calls that are under way go on
// until they end.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
