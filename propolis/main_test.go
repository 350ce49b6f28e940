package propolis

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ample is a budget that no test is meant to use up.
const ample = time.Minute

// serve starts an HTTP server on the loopback and returns a client for it.
func serve(t *testing.T, o Options, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return dial(t, server.Listener.Addr(), o)
}

// serveRaw starts a server that hands each connection to talk once it has read
// a request from it, and closes it afterwards.
func serveRaw(t *testing.T, o Options, talk func(net.Conn)) *Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				io.Copy(io.Discard, req.Body)
				talk(conn)
			}()
		}
	}()
	return dial(t, listener.Addr(), o)
}

func dial(t *testing.T, addr net.Addr, o Options) *Client {
	t.Helper()
	if o.RequestTimeout == 0 {
		o.RequestTimeout = ample
	}
	c := NewClient(netip.MustParseAddrPort(addr.String()), o)
	t.Cleanup(c.Close)
	return c
}

// untilClosed blocks until the other side has closed the connection.
func untilClosed(conn net.Conn) { io.Copy(io.Discard, conn) }

func wantKind(t *testing.T, err error, want Kind) {
	t.Helper()
	if got := KindOf(err); got != want {
		t.Errorf("got kind %q (%v), want %q", got, err, want)
	}
}
