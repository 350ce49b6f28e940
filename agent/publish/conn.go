package publish

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
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

// A transport uses a new connection for each request and has closed it when RoundTrip
// returns. http.Transport does not guarantee that, and logs what an idle connection
// receives to the standard logger.
type transport struct {
	dial  func(ctx context.Context, network, addr string) (net.Conn, error)
	roots *x509.CertPool // for https; nil: the host's
	// secure returns what is used for a connection to the server of this name instead; nil:
	// nothing.
	secure func(server string) (*tls.Config, error)
}

// RoundTrip fails unless the whole answer is read before the request's context ends. The
// answer's body is in memory. Redirects and proxies are not followed.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	raw, err := t.dial(req.Context(), "tcp", hostPort(req.URL))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(req.Context(), func() { abort(raw) })
	resp, err := t.exchange(raw, req)
	stop()
	if err != nil {
		abort(raw)
		return nil, err
	}
	_ = raw.Close() // the answer was read
	return resp, nil
}

// abort closes a connection and discards unsent data. After a plain close the kernel may
// deliver it minutes later, after a newer record.
func abort(conn net.Conn) {
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // otherwise it is a plain close
	}
	_ = conn.Close()
}

func (t transport) exchange(raw net.Conn, req *http.Request) (*http.Response, error) {
	conn := raw
	if req.URL.Scheme == "https" {
		cfg := &tls.Config{ServerName: req.URL.Hostname(), RootCAs: t.roots}
		if t.secure != nil {
			var err error
			if cfg, err = t.secure(cfg.ServerName); err != nil {
				return nil, err
			}
		}
		secure := tls.Client(raw, cfg)
		if err := secure.HandshakeContext(req.Context()); err != nil {
			return nil, err
		}
		conn = secure
	}
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	resp, err := readAnswer(bufio.NewReader(limited), req)
	if err != nil && limited.N <= 0 {
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
