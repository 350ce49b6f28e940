package propolis

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Each call handles each kind of wrong answer.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 500 X\r\nContent-Length: 100\r\n"
	for name, tc := range map[string]struct {
		say  string
		want Kind
	}{
		"nothing":            {"", Interrupted},
		"half a header":      {head, Interrupted},
		"half a body":        {head + "\r\n{", Interrupted},
		"no HTTP":            {"SSH-2.0-OpenSSH_9.9\r\n", Malformed},
		"bad status":         {"HTTP/1.1 abc X\r\n\r\n", Malformed},
		"endless header":     {"HTTP/1.1 200 X\r\nA: " + strings.Repeat("a", 1<<20), Malformed},
		"oversized":          {reply(500, strings.Repeat(" ", maxAnswer+1)), Malformed},
		"bad chunk":          {"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Malformed},
		"redirect":           {"HTTP/1.1 307 X\r\nLocation: /instance\r\nContent-Length: 0\r\n\r\n", Malformed},
		"bad redirect":       {"HTTP/1.1 302 X\r\nLocation: ://\r\nContent-Length: 0\r\n\r\n", Malformed},
		"switched protocols": {"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", Malformed},
		"other success":      {reply(202, `{"migrate":null}`), Malformed},
		"garbage":            {reply(200, "\x00\xff{"), Malformed},
	} {
		for op, call := range every {
			t.Run(name+"/"+op, func(t *testing.T) {
				t.Parallel()
				c := serveRaw(t, Options{}, func(conn net.Conn) { io.WriteString(conn, tc.say) })
				err := call(t.Context(), c)
				if op == "ready" && strings.Contains(tc.say, "\r\n\r\n") && name != "bad status" {
					wantKind(t, err, 0) // any status means that the server is up
					return
				}
				wantKind(t, err, tc.want)
			})
		}
	}
}

func TestSuccesses(t *testing.T) {
	t.Parallel()
	for op, call := range every {
		c := serveRaw(t, Options{}, func(conn net.Conn) { io.WriteString(conn, success[op]) })
		if err := call(t.Context(), c); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// The right status with a body that is not the API's.
func TestWrongBodies(t *testing.T) {
	t.Parallel()
	for op, bodies := range map[string][]string{
		"snapshot": {``, `{}`, `nullx`, `"null"`},
		"monitor":  {``, `null`, `{}`, `[]`, `{"gen":1}`},
		"instance": {``, `null`, `{}`, `[]`, `{"instance":{"state":"Running"}}`},
	} {
		for _, body := range bodies {
			c := serveRaw(t, Options{}, func(conn net.Conn) { io.WriteString(conn, reply(200, body)) })
			if err := every[op](t.Context(), c); KindOf(err) != Malformed {
				t.Errorf("%s answered %s: got %v, want malformed", op, body, err)
			}
		}
	}
}

// hangs are the ways to keep a caller waiting.
var hangs = map[string]func(net.Conn){
	"before the header": untilClosed,
	"in the header": func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 500 X\r\n")
		untilClosed(conn)
	},
	"in the body": func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\n{")
		untilClosed(conn)
	},
	"trickle": func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 500 X\r\nContent-Length: 1000000\r\n\r\n")
		for range time.Tick(time.Millisecond) {
			if _, err := io.WriteString(conn, " "); err != nil {
				return
			}
		}
	},
}

func TestHangsEndWithTheBudget(t *testing.T) {
	t.Parallel()
	for name, hang := range hangs {
		for op, call := range every {
			t.Run(name+"/"+op, func(t *testing.T) {
				t.Parallel()
				const budget = 50 * time.Millisecond
				ctx := t.Context()
				if op == "ensure" || op == "monitor" { // these are bounded only by the context
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, budget)
					defer cancel()
				}
				c := serveRaw(t, Options{RequestTimeout: budget}, hang)
				err := call(ctx, c)
				if op == "ready" && (name == "in the body" || name == "trickle") {
					wantKind(t, err, 0) // any status means that the server is up
					return
				}
				wantKind(t, err, Timeout)
			})
		}
	}
}

// A server may answer a request before it has read it, and then read it or not. A server
// that does neither uses up the budget.
func TestEarlyAnswer(t *testing.T) {
	t.Parallel()
	large := EnsureRequest{Spec: []byte(`{"a":"` + strings.Repeat("a", 8<<20) + `"}`)}
	const refusal = "HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\n{}"
	for name, talk := range map[string]func(net.Conn){
		"and reads nothing":  func(conn net.Conn) { io.WriteString(conn, refusal); time.Sleep(ample / 60) }, // sleep: the fault itself
		"and reads it later": func(conn net.Conn) { io.WriteString(conn, refusal); untilClosed(conn) },
		"of many":            func(conn net.Conn) { io.WriteString(conn, strings.Repeat(refusal, 2)); untilClosed(conn) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, end := serveConns(t, talk)
			defer end()
			err := c.Ensure(t.Context(), large)
			if e, _ := errors.AsType[*Error](err); KindOf(err) != Refused || e.Status != 413 {
				t.Errorf("got %v, want the early answer", err)
			}
		})
	}
	c, end := serveConns(t, func(conn net.Conn) { time.Sleep(ample / 60) }) // sleep: the fault itself
	defer end()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantKind(t, c.Ensure(ctx, large), Timeout)
}

// The connection that remains after a 101 is not bounded by a budget, so nothing may be
// read from it.
func TestSwitchedProtocols(t *testing.T) {
	t.Parallel()
	for op, call := range every {
		c := serveRaw(t, Options{}, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
			untilClosed(conn)
		})
		if err := call(t.Context(), c); op != "ready" && KindOf(err) != Malformed {
			t.Errorf("%s: got %v, want malformed", op, err)
		}
	}
}

// An endless answer costs no more than one that is too long.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	const endless = 64 << 20 // far more than the sockets' buffers
	for op, call := range every {
		said := make(chan int, 1)
		c := serveRaw(t, Options{}, func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 500 X\r\nConnection: close\r\n\r\n")
			n, chunk := 0, make([]byte, maxAnswer)
			for n < endless {
				m, err := conn.Write(chunk)
				if n += m; err != nil {
					break
				}
			}
			said <- n
		})
		if err := call(t.Context(), c); op != "ready" && KindOf(err) != Malformed {
			t.Errorf("%s: got %v, want malformed", op, err)
		}
		if n := <-said; n >= endless {
			t.Errorf("%s read on and on", op)
		}
	}
}

// Making or changing a VM may take longer than the request timeout.
func TestOwnBudgets(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"ensure", "monitor"} {
		slow := make(chan struct{})
		c := serveRaw(t, Options{RequestTimeout: time.Millisecond}, func(conn net.Conn) {
			<-slow
			io.WriteString(conn, success[op])
		})
		wantKind(t, c.Put(t.Context(), Stop, 0), Timeout) // by now the request timeout has passed
		close(slow)
		if err := every[op](t.Context(), c); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
}

func TestCanceled(t *testing.T) {
	t.Parallel()
	for op, call := range every {
		ctx, cancel := context.WithCancel(t.Context())
		c := serveRaw(t, Options{}, func(conn net.Conn) {
			cancel()
			untilClosed(conn)
		})
		if err := call(ctx, c); KindOf(err) != Canceled {
			t.Errorf("%s: got %v, want canceled", op, err)
		}
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	for op, call := range every {
		c := serveRaw(t, Options{}, func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) })
		if err := call(t.Context(), c); KindOf(err) != Interrupted {
			t.Errorf("%s: got %v, want interrupted", op, err)
		}
	}
}

// localTroubles are errors that keep this host from connecting and prove nothing about the
// server.
var localTroubles = []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN,
	syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS, syscall.EPERM, syscall.EACCES,
	syscall.EAGAIN, syscall.EINVAL, syscall.ECONNRESET, syscall.ECONNABORTED}

func dialError(no syscall.Errno) error {
	return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", no)}
}

func TestNotConnected(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(nil)
	server.Close()
	for op, call := range every {
		wantKind(t, call(t.Context(), dial(t, server.Listener.Addr(), Options{})), ConnRefused)
		want := map[syscall.Errno]Kind{syscall.ECONNREFUSED: ConnRefused, syscall.ETIMEDOUT: Timeout}
		for _, no := range localTroubles {
			want[no] = NotConnected
		}
		for no, want := range want {
			fail := func(context.Context, string, string) (net.Conn, error) { return nil, dialError(no) }
			err := call(t.Context(), NewClient(netip.MustParseAddrPort("[::1]:1"), Options{Dial: fail}))
			if KindOf(err) != want {
				t.Errorf("%s with %v: got %v, want %s", op, no, err, want)
			}
		}
	}
}
