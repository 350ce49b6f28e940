package publish

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/plain"
)

func (c *Client) round(ctx context.Context, id uuid.UUID, end bool, body []byte) (a Answer) {
	r := &round{end: end}
	for {
		p, err := c.peers.acquire(ctx, r)
		if err != nil {
			a.Err = fmt.Errorf("wait to PUT record of VMM %s: %w", id, err)
		} else if p == nil && a.Sent == 0 {
			a.Err = c.none()
		}
		if p == nil {
			return a
		}
		o := c.put(ctx, p.base+"/vmms/"+id.String(), body)
		if !o.cancelled {
			c.counts[o.verdict].Add(1)
		}
		c.report(c.peers.release(p, o))
		a = Answer{Verdict: o.verdict, Status: o.status, Err: o.err, Sent: a.Sent + 1}
		if o.verdict != CannotTell || o.cancelled {
			return a
		}
	}
}

// An outcome is the result of one PUT.
type outcome struct {
	verdict   Verdict
	status    int // 0: no answer
	err       error
	said      string // beginning of the body
	cancelled bool   // by the caller or Close, before an answer
}

// put makes one PUT within RequestTimeout.
func (c *Client) put(parent context.Context, to string, record []byte) outcome {
	budget := c.cfg.RequestTimeout
	ctx, cancel := context.WithTimeoutCause(parent, budget,
		fmt.Errorf("no answer within %v: %w", budget, context.DeadlineExceeded))
	defer cancel()
	resp, body, err := c.send(ctx, to, record)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return outcome{err: fmt.Errorf("PUT %s: %w", to, err), cancelled: parent.Err() != nil}
	}
	message, byNexus := nexusError(resp.Header, body)
	o := outcome{verdict: verdictOf(resp.StatusCode, byNexus), status: resp.StatusCode, said: plain.Text(string(body), maxSaid)}
	switch {
	case o.verdict == Acked:
	case byNexus && message != http.StatusText(o.status): // most of its messages are just that text
		o.err = fmt.Errorf("PUT %s: %s: %q", to, statusLine(o.status), plain.Text(message, maxSaid))
	case !byNexus && o.status >= 400:
		o.err = fmt.Errorf("PUT %s: %s, without Nexus's error body", to, statusLine(o.status))
	default:
		o.err = fmt.Errorf("PUT %s: %s", to, statusLine(o.status))
	}
	return o
}

// send sends the request and reads the whole answer.
func (c *Client) send(ctx context.Context, to string, record []byte) (*http.Response, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, to, bytes.NewReader(record))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("api-version", apiVersion)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sled-agent")
	resp, err := c.rt.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body) // it is in memory
	return resp, body, err
}

// statusLine formats a status with its standard text, since the server's reason phrase
// may be any text.
func statusLine(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}
