package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/zone/zonetest"
)

const (
	// clients is the number of concurrent clients, each with its own VMM.
	clients = 8
	// calls is the number of requests of each client in a round.
	calls = 200
)

// BenchmarkRequests reports the requests per second that the sled API answers to parallel
// clients over loopback. The floor is an echo handler that reads the request and answers a
// constant of the same size. The clients are as simple as possible and use the same share of
// the processor in both.
func BenchmarkRequests(b *testing.B) {
	for _, k := range []struct{ name, method, body string }{
		{"get", http.MethodGet, ""},
		{"run", http.MethodPut, `{"state":{"type":"running"}}`},
		{"stop", http.MethodPut, `{"state":{"type":"stopped"}}`},
	} {
		b.Run(k.name, func(b *testing.B) {
			r := newHarness(b, options{zones: zonetest.New(zonetest.Hooks{})})
			vms := r.startInMemory(clients)
			var callers, bare []*caller
			to := serveAPI(b, r)
			for _, v := range vms {
				callers = append(callers, dial(b, to, request(k.method, v.id, k.body)))
			}
			answer := callers[0].call()
			to = serveBare(b, answer)
			for _, v := range vms {
				bare = append(bare, dial(b, to, request(k.method, v.id, k.body)))
			}
			var ours, floor time.Duration
			for b.Loop() {
				ours += together(callers)
				floor += together(bare)
			}
			per := float64(b.N * clients * calls)
			oursRate, floorRate := per/ours.Seconds(), per/floor.Seconds()
			metrics(b, map[string]float64{"requests/s": oursRate, "floor-requests/s": floorRate, "x-floor": floorRate / oursRate})
		})
	}
}

// A sled is an agent with identifiers.
type sled struct{ *agent.Agent }

func (sled) Sled(context.Context) api.Sled { return api.Sled{} }

func (sled) Identifiers() api.Identifiers { return api.Identifiers{SledID: sledID} }

// serveAPI serves an agent's sled API and returns its address.
func serveAPI(b testing.TB, r *harness) string {
	b.Helper()
	s := api.New(sled{r.Agent}, api.Options{Log: log()})
	l := listen(b)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			b.Error(err)
		}
	})
	return l.Addr().String()
}

// serveBare serves a handler that reads a request and answers a constant.
func serveBare(b testing.TB, answer []byte) string {
	b.Helper()
	e := echo.New()
	handle := func(c echo.Context) error {
		if _, err := io.Copy(io.Discard, c.Request().Body); err != nil {
			return err
		}
		c.Response().Header().Set("X-Request-Id", uuid.Nil.String())
		return c.JSONBlob(http.StatusOK, answer)
	}
	e.GET("/vmms/:propolis_id/state", handle)
	e.PUT("/vmms/:propolis_id/state", handle)
	l := listen(b)
	s := &http.Server{Handler: e, ReadHeaderTimeout: waitLimit}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
		<-served
	})
	return l.Addr().String()
}

func listen(b testing.TB) net.Listener {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func request(method string, id uuid.UUID, body string) []byte {
	head := fmt.Sprintf("%s /vmms/%s/state HTTP/1.1\r\nHost: sled\r\nApi-Version: 48.0.0\r\n", method, id)
	if body != "" {
		head += fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return []byte(head + "\r\n" + body)
}

// caller is a client that repeats one request. It supports only the part of HTTP that these
// servers use, to leave the processor to them.
type caller struct {
	b       testing.TB
	conn    net.Conn
	answers *bufio.Reader
	request []byte
	body    bytes.Buffer
}

func dial(b testing.TB, addr string, request []byte) *caller {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &caller{b: b, conn: conn, answers: bufio.NewReader(conn), request: request}
}

// call returns the answer's body, valid until the next call, or nil for a status other than
// 200.
func (c *caller) call() []byte {
	if _, err := c.conn.Write(c.request); err != nil {
		c.b.Error(err)
		return nil
	}
	length := int64(0)
	for first := true; ; first = false {
		line, err := c.answers.ReadSlice('\n')
		if err != nil || first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			c.b.Errorf("answer begins with %q, %v", line, err)
			return nil
		}
		if len(line) == 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.ParseInt(strings.TrimSpace(string(value)), 10, 64)
		}
	}
	c.body.Reset()
	if _, err := io.CopyN(&c.body, c.answers, length); err != nil {
		c.b.Error(err)
		return nil
	}
	return c.body.Bytes()
}

// together runs all callers concurrently and returns how long that takes.
func together(callers []*caller) time.Duration {
	var all sync.WaitGroup
	begun := time.Now()
	for _, c := range callers {
		all.Go(func() {
			for range calls {
				if c.call() == nil {
					return
				}
			}
		})
	}
	all.Wait()
	return time.Since(begun)
}
