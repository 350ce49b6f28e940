package propolis

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// dialTimeout bounds a dial, even of calls without a budget. The server is on this
	// host.
	dialTimeout = 5 * time.Second
	// lateAnswer is how long to wait for an answer after the request could not be sent
	// completely: a server may refuse a request without reading it.
	lateAnswer = time.Second
	// bufferSize suits answers of a few hundred bytes; larger bodies bypass it.
	bufferSize = 1 << 10
	// maxHeader bounds what is read before an answer's body, including interim (1xx)
	// answers. maxWire bounds the encoded body, where each byte may be a chunk of its
	// own.
	maxHeader = 8 << 10
	maxWire   = 16 * maxAnswer
)

// roundTrip makes the call on a connection of its own and returns the answer. It reads
// while it sends, since the answer may come early.
//
// It does not use net/http's Transport, which keeps connections and reads from them
// between calls. What a server sends then is logged to standard error or taken for the
// answer to the next request. A request on a connection that has died is sent twice. Two
// goroutines wait for each connection, which would be most of the cost of an idle watch.
func (c *Client) roundTrip(ctx context.Context, k call) (answer, error) {
	request, err := c.request(ctx, k)
	if err != nil {
		return answer{}, &Error{Op: k.op, Kind: Refused, Err: fmt.Errorf("make request: %w", err)}
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return answer{}, &Error{Op: k.op, Kind: dialKind(ctx, err), Err: cause(ctx, err)}
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(request)
		if err != nil {
			_ = conn.SetReadDeadline(time.Now().Add(lateAnswer))
		}
		sent <- err
	}()
	a, err := readAnswer(conn, k.statusOnly)
	conn.Close()
	if unsent := <-sent; unsent != nil && err != nil && timedOut(err) {
		err = unsent
	}
	if err != nil {
		return answer{}, &Error{Op: k.op, Status: a.status, Kind: answerErrorKind(ctx, err), Err: cause(ctx, err)}
	}
	return a, nil
}

// cause returns why a call failed. The end of its context closes the connection, whose
// error then hides the cause.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (c *Client) request(ctx context.Context, k call) ([]byte, error) {
	var body io.Reader
	if k.body != nil {
		body = bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, "http://"+c.host+k.path, body)
	if err != nil {
		return nil, err
	}
	req.Close = true
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Api-Version", c.version)
	req.Header.Set("User-Agent", "sled-agent")
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, err
	}
	return wire.Bytes(), nil
}

func (c *Client) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return c.dial(ctx, "tcp", c.addr)
}

// readAnswer reads an answer, without its body if statusOnly is set.
func readAnswer(conn net.Conn, statusOnly bool) (answer, error) {
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	r := bufio.NewReaderSize(limited, bufferSize)
	resp, err := readHeader(r)
	if err != nil {
		return answer{}, tooLong(limited, err)
	}
	a := answer{status: resp.StatusCode}
	// After a switch of protocols the connection no longer carries HTTP.
	if statusOnly || a.status == http.StatusSwitchingProtocols {
		return a, nil
	}
	limited.N = maxWire
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(a.body) > maxAnswer {
		err = errOversized
	}
	return a, tooLong(limited, err)
}

// readHeader returns the first answer that is not an interim one.
func readHeader(r *bufio.Reader) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

// tooLong returns errOversized if err was caused by the end of the limit.
func tooLong(limited *io.LimitedReader, err error) error {
	if err != nil && limited.N <= 0 {
		return errOversized
	}
	return err
}
