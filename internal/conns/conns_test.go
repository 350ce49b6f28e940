package conns_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/internal/conns"
)

// pipes is a listener of connections within the process.
type pipes struct {
	accepted chan net.Conn
	fail     chan error
	closed   chan struct{}
	once     sync.Once
}

func newPipes() *pipes {
	return &pipes{accepted: make(chan net.Conn), fail: make(chan error), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case err := <-p.fail:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// A client is one end of a connection.
type client struct{ net.Conn }

func (p *pipes) dial() *client {
	ours, theirs := net.Pipe()
	p.accepted <- theirs
	return &client{ours}
}

// ask sends a request and returns the answer's body; nothing if the connection was
// closed.
func (c *client) ask(path string) string {
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		return ""
	}
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return ""
	}
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// serve runs a test with a server of three connections. Its handler answers "yes"; for
// the path /slow after hold was closed.
func serve(t *testing.T, log io.Writer, test func(p *pipes, hold chan struct{})) {
	synctest.Test(t, func(t *testing.T) {
		p, hold := newPipes(), make(chan struct{})
		srv := conns.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			conns.Received(r.Context())
			defer conns.Answered(r.Context())
			if r.URL.Path == "/slow" {
				<-hold
			}
			_, _ = io.WriteString(w, "yes")
		}), conns.Options{Max: 3, Name: "test", Log: zerolog.New(log)})
		done := make(chan error, 1)
		go func() {
			done <- srv.Serve(p)
		}()
		test(p, hold)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = srv.Shutdown(ctx) // some connections never end
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// After errors of accept(2) the next connection is served. The log has one line for the
// first error and one for the end.
func TestAcceptIsRepeated(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	serve(t, &log, func(p *pipes, _ chan struct{}) {
		errs := []error{syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.ECONNABORTED, syscall.EPROTO, syscall.EMFILE,
			syscall.ENFILE, syscall.EINVAL, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EIO, errors.New("something else")}
		for _, err := range errs {
			p.fail <- &net.OpError{Op: "accept", Err: err}
		}
		c := p.dial()
		if got := c.ask("/"); got != "yes" {
			t.Errorf("after errors of accept the server answers %q", got)
		}
	})
	if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "no buffer space") {
		t.Errorf("logged: %s", log.String())
	}
}

// A full server closes the connection that was idle for longest.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	serve(t, io.Discard, func(p *pipes, _ chan struct{}) {
		var all []*client
		for range 3 {
			all = append(all, p.dial())
			time.Sleep(time.Second)
		}
		if got := all[0].ask("/"); got != "yes" { // now the second is the oldest
			t.Errorf("the first connection got %q", got)
		}
		time.Sleep(time.Second)
		if got := p.dial().ask("/"); got != "yes" {
			t.Errorf("one connection more got %q", got)
		}
		if got := all[1].ask("/"); got != "" {
			t.Errorf("the connection that was idle for longest got %q", got)
		}
		for _, i := range []int{0, 2} {
			if got := all[i].ask("/"); got != "yes" {
				t.Errorf("connection %d got %q", i, got)
			}
		}
	})
}

// Connections with slow requests are closed to make room, those that wait for their
// answers are not.
func TestSlowRequestsMakeRoom(t *testing.T) {
	t.Parallel()
	serve(t, io.Discard, func(p *pipes, hold chan struct{}) {
		answers := make(chan string, 1)
		waiting := p.dial()
		go func() { answers <- waiting.ask("/slow") }()
		for _, slow := range []string{"GET / HTTP/1.1\r\nHost", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1"} {
			if _, err := io.WriteString(p.dial(), slow); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for range 5 {
			if got := p.dial().ask("/"); got != "yes" {
				t.Errorf("one connection more got %q", got)
			}
		}
		close(hold)
		if got := <-answers; got != "yes" {
			t.Errorf("the request that was being answered got %q", got)
		}
	})
}

// A connection that still receives a request after its answer is closed to make room.
func TestLeftOversMakeRoom(t *testing.T) {
	t.Parallel()
	serve(t, io.Discard, func(p *pipes, _ chan struct{}) {
		for range 3 {
			c := p.dial()
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1"); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		synctest.Wait()
		if got := p.dial().ask("/"); got != "yes" {
			t.Errorf("one connection more got %q", got)
		}
	})
}

// While every place is taken by a request that is being answered, the next
// connection waits and is served as soon as one is free.
func TestAConnectionWaitsForAPlace(t *testing.T) {
	t.Parallel()
	serve(t, io.Discard, func(p *pipes, hold chan struct{}) {
		for range 3 {
			c := p.dial()
			go c.ask("/slow")
		}
		synctest.Wait()
		answer := make(chan string, 1)
		c := p.dial()
		go func() { answer <- c.ask("/") }()
		synctest.Wait()
		select {
		case got := <-answer:
			t.Errorf("beyond the limit a connection got %q", got)
		default:
		}
		close(hold)
		if got := <-answer; got != "yes" {
			t.Errorf("the connection that waited got %q", got)
		}
	})
}
