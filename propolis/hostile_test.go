package propolis

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
)

// hostile lists what a server can do to its clients. Each entry gets a connection after a
// request was read from it.
var hostile = map[string]func(net.Conn){
	"endless body":           forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("[", 4096)),
	"endless chunks":         forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\n \r\n", 512)),
	"endless chunk header":   forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", strings.Repeat("x", 4096)),
	"endless trailers":       forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", strings.Repeat("A: b\r\n", 512)),
	"endless headers":        forever("HTTP/1.1 200 OK\r\n", strings.Repeat("A: b\r\n", 512)),
	"endless header":         forever("HTTP/1.1 200 OK\r\nA: ", strings.Repeat("b", 4096)),
	"endless status line":    forever("HTTP/1.1 200 ", strings.Repeat("OK ", 1024)),
	"endless nothing":        forever("", strings.Repeat("\x00", 4096)),
	"endless 100":            forever("", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 64)),
	"endless 103":            forever("", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", 64)),
	"endless 199 with body":  forever("", strings.Repeat("HTTP/1.1 199 X\r\nContent-Length: 1\r\n\r\n{", 64)),
	"trickle of 100":         trickle("", "HTTP/1.1 100 Continue\r\n\r\n"),
	"trickle of a header":    trickle("HTTP/1.1 200 OK\r\nA: ", "b"),
	"trickle of a body":      trickle("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", " "),
	"trickle of chunks":      trickle("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
	"101":                    forever("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "garbage"),
	"101, then silence":      once("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
	"redirect":               once("HTTP/1.1 307 X\r\nLocation: /instance\r\nContent-Length: 0\r\n\r\n"),
	"redirect elsewhere":     once("HTTP/1.1 301 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
	"close":                  func(net.Conn) {},
	"negative length":        once("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}"),
	"two lengths":            once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
	"length beyond the body": once("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{}"),
	"chunk beyond all":       once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n{}"),
	"deep nesting":           once(reply(200, strings.Repeat("[", maxAnswer))),
	"deep objects":           once(reply(200, strings.Repeat(`{"instance":`, maxAnswer/12))),
	"many members":           once(reply(200, `{"instance":{"":0`+strings.Repeat(`,"":0`, 10000)+`}}`)),
	"other encoding":         once("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"),
	"long error":             once(reply(400, `{"request_id":"`+strings.Repeat("r", 9000)+`","error_code":"`+strings.Repeat("\\u001b[2J", 2000)+`","message":"`+strings.Repeat("\\n", 9000)+`"}`)),
	"HTTP/2":                 once("\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
	"TLS alert":              once("\x15\x03\x01\x00\x02\x02\x0a"),
}

func once(text string) func(net.Conn) {
	return func(conn net.Conn) {
		io.WriteString(conn, text)
		untilClosed(conn)
	}
}

func forever(head, block string) func(net.Conn) {
	return func(conn net.Conn) {
		for _, err := io.WriteString(conn, head); err == nil; _, err = io.WriteString(conn, block) {
		}
	}
}

// trickle sends head and then a bit each second.
func trickle(head, bit string) func(net.Conn) {
	return func(conn net.Conn) {
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			untilClosed(conn)
		}()
		for _, err := io.WriteString(conn, head); err == nil; _, err = io.WriteString(conn, bit) {
			select {
			case <-time.After(time.Second):
			case <-gone:
				return
			}
		}
	}
}

// asked reads one request and then calls talk.
func asked(talk func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.Copy(io.Discard, req.Body)
			talk(conn)
		}
	}
}

// unread talks without reading a request.
var unread = map[string]func(net.Conn){
	"unread, garbage":   forever("", strings.Repeat("garbage\r\n", 100)),
	"unread, an answer": once(reply(200, `{"gen":1,"state":"Exploded","migration":{}}`)),
	"unread, silence":   func(conn net.Conn) { time.Sleep(time.Minute) }, // sleep: the fault itself
}

// Whatever the server does, a call ends within its budget, reads a bounded amount, closes
// its connection, returns a one-line error, and does not report the end of the VM.
func TestHostileCalls(t *testing.T) {
	t.Parallel()
	for name, talk := range catalogue() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMemoryRaw(t, talk, func(t *testing.T, m *memory) {
				for op, call := range every {
					ctx, cancel := context.WithTimeout(t.Context(), DefaultRequestTimeout)
					begun := time.Now()
					err := call(ctx, m.client)
					if took := time.Since(begun); took > DefaultRequestTimeout {
						t.Errorf("%s took %v", op, took)
					}
					cancel()
					if op != "ready" && (err == nil || KindOf(err) == NoInstance || KindOf(err) == AlreadyInitialized) {
						t.Errorf("%s: %v, want an error that proves nothing", op, err)
					}
					if err != nil && (len(err.Error()) > 2<<10 || strings.ContainsFunc(err.Error(), unicode.IsControl)) {
						t.Errorf("%s: an error of %d bytes: %.100q", op, len(err.Error()), err.Error())
					}
					if n := m.open.Load(); n != 0 {
						t.Errorf("%s leaves %d connections open", op, n)
					}
				}
				m.wantBounded(t)
			})
		})
	}
}

// Whatever the server does for ten minutes, a watch keeps its pace on two connections and
// reports only silence.
func TestHostileWatch(t *testing.T) {
	t.Parallel()
	for name, talk := range catalogue() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMemoryRaw(t, talk, func(t *testing.T, m *memory) {
				got, _ := m.watch(t, 0, WatchOptions{}, 10*time.Minute)
				if len(got) != 1 || got[0] != "silent" {
					t.Errorf("got %q, want silence", got)
				}
				if n := m.dials.Load(); n < 20 || n > 200 {
					t.Errorf("%d connections in 10 minutes, want one in 3 to 15 s", n)
				}
				m.wantBounded(t)
			})
		})
	}
}

func catalogue() map[string]func(net.Conn) {
	all := map[string]func(net.Conn){}
	for name, talk := range hostile {
		all[name] = asked(talk)
	}
	maps.Copy(all, unread)
	return all
}

// wantBounded checks that no answer was read beyond the limits and that no connection is
// left.
func (m *memory) wantBounded(t *testing.T) {
	t.Helper()
	synctest.Wait()
	if n := m.took.Load(); n > maxHeader+maxWire+2*bufferSize {
		t.Errorf("%d bytes of one answer were read", n)
	}
	if n := m.most.Load(); n > 2 {
		t.Errorf("%d connections were open at once", n)
	}
	if n := m.open.Load(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
}

// What a server sends after its answer is ignored and does not disturb the next call.
func TestHostileBetweenAnswers(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"garbage": "garbage\r\n\r\n", "an answer": reply(200, `{"gen":7,"state":"Destroyed","migration":{}}`),
		"408": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", "100": "HTTP/1.1 100 Continue\r\n\r\n",
		"no instance": reply(424, `{"request_id":"r","error_code":"NoInstance","message":"no"}`), "close": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMemoryRaw(t, func(conn net.Conn) {
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				if body, _ := io.ReadAll(req.Body); string(body) != `{"gen":0}` {
					untilClosed(conn)
					return
				}
				io.WriteString(conn, reply(200, `{"gen":3,"state":"Running","migration":{}}`))
				time.Sleep(time.Second) // sleep: out of turn
				io.WriteString(conn, more)
			}, func(t *testing.T, m *memory) {
				got, _ := m.watch(t, 0, WatchOptions{}, time.Hour)
				if len(got) != 1 || got[0] != "Running3" {
					t.Errorf("got %q, want Running3 alone", got)
				}
				m.wantBounded(t)
			})
		})
	}
}

// Memory, goroutines and descriptors before and after calls and watches over real
// sockets. The test is not parallel, since it counts resources of the process.
func TestHostileCosts(t *testing.T) {
	talks := catalogue()
	delete(talks, "unread, silence") // sleeps
	talks["reset"] = asked(func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) })
	talks["reset at once"] = func(conn net.Conn) { conn.(*net.TCPConn).SetLinger(0) }
	talks["half-closed"] = asked(func(conn net.Conn) { conn.(*net.TCPConn).CloseWrite(); untilClosed(conn) })
	talks["deaf, half-closed"] = func(conn net.Conn) {
		conn.(*net.TCPConn).CloseRead()
		conn.(*net.TCPConn).CloseWrite()
		untilClosed(conn)
	}
	round := func() {
		for _, talk := range talks {
			c, end := serveConns(t, talk)
			for _, call := range every {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				call(ctx, c)
				cancel()
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			o := WatchOptions{Heartbeat: time.Millisecond, RetryMin: time.Millisecond, RetryMax: time.Millisecond}
			c.Watch(ctx, 0, o, func(WatchEvent) {})
			cancel()
			end()
		}
	}
	round()
	goroutinesBefore, fdsBefore := runtime.NumGoroutine(), descriptors(t)
	before := heap()
	round()
	if n := countUntil(func() int { return max(0, runtime.NumGoroutine()-goroutinesBefore) }, 0); n > 0 {
		t.Errorf("%d goroutines more than before", n)
	}
	if n := countUntil(func() int { return max(0, descriptors(t)-fdsBefore) }, 0); n > 0 {
		t.Errorf("%d descriptors more than before", n)
	}
	if more := heap() - before; more > 1<<20 {
		t.Errorf("%d bytes of heap more than before", more)
	}
}

// serveConns serves each connection with talk until end is called.
func serveConns(t *testing.T, talk func(net.Conn)) (c *Client, end func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				all.Go(func() {
					defer conn.Close()
					talk(conn)
				})
			}
		}
	})
	return dial(t, listener.Addr(), Options{}), func() {
		listener.Close()
		all.Wait()
	}
}

// descriptors counts the open files of the process on hosts that list them.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skip("no /dev/fd here")
	}
	return len(entries)
}

// The memory for the largest answer is a multiple of the read limit, independent of what
// the server would send.
func TestMemoryOfOneAnswer(t *testing.T) {
	body := bytes.Repeat([]byte("["), 64<<20)
	c := serveRaw(t, Options{}, func(conn net.Conn) {
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
		conn.Write(body)
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Monitor(t.Context(), 1)
	runtime.ReadMemStats(&after)
	wantKind(t, err, Malformed)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16*maxAnswer {
		t.Errorf("an answer of 64 MiB cost %d bytes", n)
	}
}
