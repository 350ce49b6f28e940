package propolis

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/plain"
)

// Defaults of Options.
const (
	DefaultAPIVersion     = "6.0.0"
	DefaultRequestTimeout = 15 * time.Second
)

// Options configure a Client. The zero value is valid.
type Options struct {
	// APIVersion is sent with each request and decides its form. A server refuses
	// versions newer than its own. Empty: DefaultAPIVersion.
	APIVersion string
	// RequestTimeout bounds each call that is answered at once, from the dial to the
	// answer's last byte. 0 or less: DefaultRequestTimeout.
	RequestTimeout time.Duration
	// Dial makes the connections; it must respect its context. nil: TCP to the server's
	// address, without a proxy.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Client calls one Propolis server. It is safe for concurrent use. Calls do not wait
// for each other: each uses a connection of its own, which it closes. Nothing is
// retried. All errors of its calls are *Error.
type Client struct {
	addr    string // address to dial
	host    string // in requests, without the IPv6 zone
	version string
	timeout time.Duration
	dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	heard   heard
}

// NewClient returns a Client for the server at addr. It does not connect.
func NewClient(addr netip.AddrPort, o Options) *Client {
	c := &Client{
		addr:    addr.String(),
		host:    netip.AddrPortFrom(addr.Addr().WithZone(""), addr.Port()).String(),
		version: o.APIVersion,
		timeout: o.RequestTimeout,
		dial:    o.Dial,
	}
	if c.version == "" {
		c.version = DefaultAPIVersion
	}
	if c.timeout <= 0 {
		c.timeout = DefaultRequestTimeout
	}
	if c.dial == nil {
		// The connections have TCP keep-alive, so that a poll ends if its peer has
		// disappeared.
		c.dial = new(net.Dialer).DialContext
	}
	return c
}

// Ready reports whether the server answers HTTP, with any status: a server without a VM
// answers 424 and is up. Only the status is read.
func (c *Client) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	_, err := c.roundTrip(ctx, call{op: "GET /instance", method: http.MethodGet, path: "/instance", statusOnly: true})
	return err
}

// Ensure makes the VM and returns once the VM's objects exist. The guest does not run
// until Put(Run), except that a migration target starts by itself. That may take long
// and is bounded only by ctx. If there already is a VM the error is AlreadyInitialized,
// even for an identical request.
func (c *Client) Ensure(ctx context.Context, r EnsureRequest) error {
	const op = "PUT /instance"
	request, err := r.encode(c.version)
	if err != nil {
		return &Error{Op: op, Kind: Refused, Err: fmt.Errorf("encode request: %w", err)}
	}
	k := call{op: op, method: http.MethodPut, path: "/instance", body: request, want: http.StatusCreated}
	_, err = c.do(ctx, k)
	return err // 201 is sufficient: a wrong body does not mean that the VM does not exist
}

// Put requests an action. Success means that Propolis has queued it, not that it is
// done. With soft, a stop or a reboot first presses the guest's power button, and is
// forced when soft has passed. APIs before 7 know only the forced ones (SoftStop).
func (c *Client) Put(ctx context.Context, a Action, soft time.Duration) error {
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
		body: c.stateBody(a, soft),
	})
	return err
}

// stateBody returns the body of a request for an action: an object from API 7 on, which
// refuses the bare string of the earlier ones, as they refuse the object.
func (c *Client) stateBody(a Action, soft time.Duration) []byte {
	switch {
	case !SoftStop(c.version):
		return fmt.Appendf(nil, "%q", a)
	case soft <= 0:
		return fmt.Appendf(nil, `{"state":%q,"acpi_timeout_secs":null}`, a)
	}
	// Rounded up: 0 would be another request, and the guest must not have less time.
	secs := (soft-1)/time.Second + 1
	return fmt.Appendf(nil, `{"state":%q,"acpi_timeout_secs":%d}`, a, secs)
}

// SoftStop reports whether an API version has soft stops and reboots.
func SoftStop(version string) bool {
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.ParseUint(major, 10, 64)
	return err == nil && n >= 7
}

// Snapshot makes the Crucible backend with the component key disk create the given
// snapshot.
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
		return k.malformed(fmt.Errorf("want null, got %s", plain.Line(string(body), 64)))
	}
	return err
}
