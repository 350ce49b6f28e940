package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/api"
)

// A logBook collects log lines.
type logBook struct {
	mu    sync.Mutex
	lines []map[string]any
}

func (b *logBook) Write(line []byte) (int, error) {
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		return 0, fmt.Errorf("log line %q: %w", line, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, m)
	return len(line), nil
}

func (b *logBook) find(key, part string) map[string]any {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.lines {
		if s, _ := m[key].(string); strings.Contains(s, part) {
			return m
		}
	}
	return nil
}

func TestPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	book := &logBook{}
	f := &fakeAgent{during: func(context.Context) { panic("the agent slipped") }}
	s := serve(t, f, api.Options{Log: zerolog.New(book)})
	r := s.do("DELETE", vmmURL, "")
	if code, message := r.failed(t); r.StatusCode != 500 || code != "Internal" || message != "Internal Server Error" {
		t.Errorf("got %d %q %q", r.StatusCode, code, message)
	}
	if line := book.find("panic", "the agent slipped"); line == nil || !strings.Contains(fmt.Sprint(line["stack"]), "fakeAgent") {
		t.Errorf("the log has no stack of the panic: %v", line)
	}
	if r := s.do("GET", stateURL, ""); r.StatusCode != 200 {
		t.Errorf("after a panic: %d", r.StatusCode)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	book := &logBook{}
	h := api.New(&fakeAgent{err: errors.New(secret)}, api.Options{Log: zerolog.New(book)}).Handler()
	for _, method := range []string{"GET", "PUT", "PATCH"} {
		req := httptest.NewRequest(method, stateURL+"?x=1", strings.NewReader(stateBody("stopped")))
		req.Header.Set("api-version", "48.0.0")
		h.ServeHTTP(httptest.NewRecorder(), req)
	}
	for method, want := range map[string]string{"GET": "warn 500", "PUT": "warn 500", "PATCH": "info 405"} {
		line := book.find("method", method)
		if got := fmt.Sprintf("%v %v", line["level"], line["status"]); got != want {
			t.Errorf("%s: %s, want %s", method, got, want)
		}
		if line["uri"] != stateURL+"?x=1" || line["remote"] == nil || line["request_id"] == nil || line["took_ms"] == nil {
			t.Errorf("%s: %v", method, line)
		}
		if _, taken := line["addr"]; taken {
			t.Errorf("%s: the key addr is the listener's", method)
		}
	}
	if line := book.find("error", secret); line == nil {
		t.Error("the cause of an internal error is not in the log")
	}
	quiet := &logBook{}
	req := httptest.NewRequest("GET", stateURL, nil)
	req.Header.Set("api-version", "48.0.0")
	api.New(&fakeAgent{}, api.Options{Log: zerolog.New(quiet).Level(zerolog.InfoLevel)}).Handler().ServeHTTP(httptest.NewRecorder(), req)
	if len(quiet.lines) != 0 {
		t.Errorf("a read is logged above debug: %v", quiet.lines)
	}
}

// A client that disconnects cancels nothing: the work has its own budget.
func TestDisconnectCancelsNothing(t *testing.T) {
	t.Parallel()
	begun, gone, outcome := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	f := &fakeAgent{during: func(ctx context.Context) {
		close(begun)
		<-gone
		outcome <- ctx.Err()
	}}
	s := serve(t, f, api.Options{})
	ctx, giveUp := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "DELETE", "http://"+s.addr+vmmURL, nil)
	req.Header.Set("api-version", "48.0.0")
	done := make(chan error, 1)
	go func() {
		_, err := s.client.Do(req)
		done <- err
	}()
	<-begun
	giveUp()
	if err := <-done; err == nil {
		t.Error("the client got an answer")
	}
	close(gone)
	if err := <-outcome; err != nil {
		t.Errorf("the agent's context: %v", err)
	}
}

func TestCanceledRequestIsDetached(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeAgent{during: func(work context.Context) {
		cancel()
		if work.Err() != nil {
			t.Errorf("the agent's context ended with the client's: %v", work.Err())
		}
	}}
	req := httptest.NewRequestWithContext(ctx, "PUT", stateURL, strings.NewReader(stateBody("stopped")))
	req.Header.Set("api-version", "48.0.0")
	w := httptest.NewRecorder()
	api.New(f, api.Options{}).Handler().ServeHTTP(w, req)
	if w.Code != 200 {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestBudgets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, path, body string
		budget             time.Duration
	}{
		{"DELETE", vmmURL, "", 35 * time.Second},
		{"PUT", stateURL, stateBody("stopped"), 9 * time.Second},
		{"PUT", stateURL, stateBody("reboot"), 20 * time.Second},
		{"PUT", stateURL, stateBody("running"), 20 * time.Second},
		{"PUT", vmmURL, newBody(), 20 * time.Second},
		{"POST", snapURL, snapshotBody, 20 * time.Second},
		{"GET", "/zones", "", 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeAgent{err: context.DeadlineExceeded, during: func(ctx context.Context) { <-ctx.Done() }}
			req := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			req.Header.Set("api-version", "48.0.0")
			w, began := httptest.NewRecorder(), time.Now()
			api.New(f, api.Options{}).Handler().ServeHTTP(w, req)
			if took := time.Since(began); took != tt.budget || w.Code != 500 {
				t.Errorf("%s %s: %d after %v, want 500 after %v", tt.method, tt.path, w.Code, took, tt.budget)
			}
		})
	}
}

// Clients that never finish their requests lose their connections, and delay no other
// client.
func TestSlowClientsDelayNoOther(t *testing.T) {
	t.Parallel()
	f := &fakeAgent{}
	inCrowd(t, f, api.Options{}, func(c *crowd) {
		const host = " HTTP/1.1\r\nHost: x\r\nApi-Version: 48.0.0\r\n"
		var slow []net.Conn
		for range 40 {
			for _, begin := range []string{"GET /zon", "PUT " + vmmURL + host, "PUT " + vmmURL + host + "Content-Length: 900000\r\n\r\n{",
				"PUT " + vmmURL + host + "Content-Length: 900000\r\n\r\n" + strings.Repeat(" ", 100_000)} {
				ours := c.Connect(c.t)
				go func() { _, _ = io.WriteString(ours, begin) }()
				slow = append(slow, ours)
			}
		}
		for range 20 {
			if got := c.do("PUT", stateURL, stateBody("stopped")); got.status != 200 || got.took != 0 {
				t.Fatalf("beside slow clients: %+v", got)
			}
		}
		for i, conn := range slow {
			_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("slow client %d keeps its connection", i)
			}
		}
	})
	if strings.Contains(f.called(), "register") {
		t.Errorf("half a request reached the agent: %s", f.called())
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	if r := s.do("GET", "/zones", "", "x-filler", strings.Repeat("x", 64<<10)); r.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", r.StatusCode)
	}
}

// Shutdown lets requests in progress finish, and cuts off those that do not.
func TestShutdown(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	f := &fakeAgent{during: func(context.Context) { close(begun); <-finish }}
	s := serve(t, f, api.Options{})
	answer := make(chan int, 1)
	go func() {
		req, _ := http.NewRequest("DELETE", "http://"+s.addr+vmmURL, nil)
		req.Header.Set("api-version", "48.0.0")
		res, err := s.client.Do(req)
		if err != nil {
			answer <- 0
			return
		}
		res.Body.Close()
		answer <- res.StatusCode
	}()
	<-begun
	down := make(chan error, 1)
	go func() { down <- s.server.Shutdown(context.Background()) }()
	close(finish)
	if got := <-answer; got != 200 {
		t.Errorf("the request under way: %d", got)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestShutdownIsBounded(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	f := &fakeAgent{during: func(context.Context) { close(begun); <-finish }}
	s := serve(t, f, api.Options{})
	answered := make(chan error, 1)
	go func() {
		req, _ := http.NewRequest("DELETE", "http://"+s.addr+vmmURL, nil)
		req.Header.Set("api-version", "48.0.0")
		_, err := s.client.Do(req)
		answered <- err
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown = %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("the connection is open after Shutdown")
	}
	close(finish)
}
