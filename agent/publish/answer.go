package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// apiVersion is the version of Nexus's internal API that is spoken.
	apiVersion = "1.0.0"
	// maxBody bounds what is read of an answer, maxSaid and maxErr what is
	// logged and shown of it: it is whatever some server sent.
	maxBody = 64 << 10
	maxSaid = 256
	maxErr  = 512
)

// A verdict is what an answer means, whatever the record.
type verdict int

const (
	acked    verdict = iota // 204
	silent                  // no answer
	broken                  // 5xx
	gone                    // 404, 410: Nexus knows no such VMM
	refused                 // another 4xx: it will not have this record
	patience                // 408, 429: it asks for patience
	odd                     // anything else
)

// An answer is what came of one PUT.
type answer struct {
	status int // 0: none
	err    error
	said   string // the beginning of the body
}

func (a answer) verdict() verdict {
	switch s := a.status; {
	case s == 0:
		return silent
	case s == http.StatusNoContent:
		return acked
	case s >= 500 && s < 600:
		return broken
	case s == http.StatusNotFound, s == http.StatusGone:
		return gone
	case s == http.StatusRequestTimeout, s == http.StatusTooManyRequests:
		return patience
	case s >= 400 && s < 500:
		return refused
	default:
		return odd
	}
}

// newClient returns a client that talks to nobody but the address it is given:
// it follows no redirect and no proxy.
func newClient(cfg Config) *http.Client {
	rt := cfg.Transport
	if rt == nil {
		rt = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: cfg.RequestTimeout}).DialContext,
			TLSHandshakeTimeout:    cfg.RequestTimeout,
			MaxConnsPerHost:        cfg.Concurrency,
			MaxIdleConnsPerHost:    cfg.Concurrency,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxBody,
			DisableCompression:     true,
		}
	}
	return &http.Client{
		Transport:     rt,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// put sends t's record and reads the answer. The whole exchange ends with t.ctx.
func (p *Publisher) put(t *try) answer {
	to := t.base + "/vmms/" + t.id.String()
	req, err := http.NewRequestWithContext(t.ctx, http.MethodPut, to, bytes.NewReader(t.offer.body))
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("api-version", apiVersion)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "sled-agent")
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{err: fmt.Errorf("PUT %s: %w", req.URL.Redacted(), reason(err, t.budget))}
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return answer{status: resp.StatusCode}
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return answer{
		status: resp.StatusCode,
		err:    fmt.Errorf("PUT %s: %s", req.URL.Redacted(), statusLine(resp.StatusCode)),
		said:   clip(string(body), maxSaid),
	}
}

// statusLine names a status in our words: the server's own reason phrase is
// anybody's text.
func statusLine(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}

// reason strips what http.Client wraps around an error and names a timeout.
func reason(err error, budget time.Duration) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v: %w", budget, context.DeadlineExceeded)
	}
	return err
}

// clip cuts s to at most n bytes of valid UTF-8.
func clip(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "�")
}
