package publish

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// maxAnswer bounds what is read of an answer: interim answers, header and body.
const maxAnswer = 64 << 10

var errTooLong = fmt.Errorf("answer is longer than %d bytes", maxAnswer)

// A transport sends one request at a time over a connection, and has closed it when RoundTrip
// returns, unless the request was acknowledged: such a connection may be used again for
// keepFor. http.Transport does not guarantee the first, and logs what an idle connection
// receives to the standard logger.
type transport struct {
	dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// secure returns what is used for a connection to the server of this name; nil: what
	// crypto/tls has.
	secure func(server string) (*tls.Config, error)
	kept   *kept
}

// RoundTrip fails unless the whole answer is read before the request's context ends. The
// answer's body is in memory. Redirects and proxies are not followed.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	to := req.URL.Scheme + "://" + req.URL.Host
	if l := t.kept.take(to); l != nil {
		resp, err := t.exchange(l, to, req)
		if err == nil || l.answered() || req.Context().Err() != nil {
			return resp, err
		}
		// The server has closed it since. It has processed nothing, or the same record.
		if req.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	raw, err := t.dial(req.Context(), "tcp", hostPort(req.URL))
	if err != nil {
		return nil, err
	}
	return t.exchange(newLine(raw), to, req)
}

// exchange sends the request and reads the answer. Then the connection is kept, or closed.
func (t transport) exchange(l *line, to string, req *http.Request) (*http.Response, error) {
	stop := context.AfterFunc(req.Context(), func() { abort(l.raw) })
	err := t.handshake(l, req)
	var resp *http.Response
	if err == nil {
		resp, err = l.exchange(req)
	}
	usable := stop()
	switch {
	case err != nil:
		abort(l.raw)
		return nil, err
	case usable && resp.StatusCode == http.StatusNoContent && !resp.Close && t.kept.keep(to, l):
	default:
		_ = l.raw.Close() // the answer was read
	}
	return resp, nil
}

// handshake begins TLS on a new connection if the request's URL wants it.
func (t transport) handshake(l *line, req *http.Request) error {
	if l.conn != nil {
		return nil
	}
	l.conn = l.raw
	if req.URL.Scheme == "https" {
		cfg := &tls.Config{ServerName: req.URL.Hostname()}
		if t.secure != nil {
			var err error
			if cfg, err = t.secure(cfg.ServerName); err != nil {
				return err
			}
		}
		secure := tls.Client(l.raw, cfg)
		if err := secure.HandshakeContext(req.Context()); err != nil {
			return err
		}
		l.conn = secure
	}
	l.limit.R = l.conn
	l.read = bufio.NewReader(&l.limit)
	return nil
}

// abort closes a connection and discards unsent data. After a plain close the kernel may
// deliver it minutes later, after a newer record.
func abort(conn net.Conn) {
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // otherwise it is a plain close
	}
	_ = conn.Close()
}

// A line is one connection.
type line struct {
	raw   net.Conn
	conn  net.Conn // raw, or TLS on it; nil before the handshake
	limit io.LimitedReader
	read  *bufio.Reader
}

func newLine(raw net.Conn) *line { return &line{raw: raw} }

// answered reports whether any byte of an answer to the last request was received.
func (l *line) answered() bool { return l.limit.N < maxAnswer }

func (l *line) exchange(req *http.Request) (*http.Response, error) {
	l.limit.N = maxAnswer
	if err := req.Write(l.conn); err != nil {
		return nil, err
	}
	resp, err := readAnswer(l.read, req)
	if err != nil && l.limit.N <= 0 {
		return nil, errTooLong
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("connection was closed before the end of the answer")
	}
	return resp, err
}

// readAnswer reads the final answer with its body, and skips interim ones. A 101 counts
// as final, since no other protocol was requested.
func readAnswer(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	}
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
