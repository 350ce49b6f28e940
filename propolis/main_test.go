package propolis

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain also checks that nothing is written through the standard logger, which net/http
// uses for unsolicited data from servers.
func TestMain(m *testing.M) {
	var said lockedBuffer
	log.SetOutput(&said)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if text := said.String(); text != "" {
			fmt.Fprintf(os.Stderr, "the standard logger was used: %s\n", text)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// A lockedBuffer is a buffer for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ample is a budget that no test is meant to exhaust.
const ample = time.Minute

// serve starts an HTTP server on the loopback and returns a client for it.
func serve(t *testing.T, o Options, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return dial(t, server.Listener.Addr(), o)
}

// serveRaw starts a server that reads a request from each connection, passes the
// connection to talk, and then closes it.
func serveRaw(t *testing.T, o Options, talk func(net.Conn)) *Client {
	t.Helper()
	return dial(t, listen(t, asked(talk)), o)
}

// listen passes each connection on the loopback to talk and then closes it.
func listen(t *testing.T, talk func(net.Conn)) net.Addr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go accept(listener, talk)
	return listener.Addr()
}

func accept(listener net.Listener, talk func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			talk(conn)
		}()
	}
}

func dial(t *testing.T, addr net.Addr, o Options) *Client {
	t.Helper()
	if o.RequestTimeout == 0 {
		o.RequestTimeout = ample
	}
	return NewClient(netip.MustParseAddrPort(addr.String()), o)
}

// untilClosed blocks until the peer has closed the connection.
func untilClosed(conn net.Conn) { io.Copy(io.Discard, conn) }

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if got := KindOf(err); got != want {
		t.Errorf("got kind %q (%v), want %q", got, err, want)
	}
}
