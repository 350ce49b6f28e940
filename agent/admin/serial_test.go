package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
)

// propolis serves a console that shows "login: " and then repeats what is typed, until it
// reads "bye".
func propolis(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("api-version") != "6.0.0" {
		http.Error(w, `{"message": "no api-version"}`, http.StatusBadRequest)
		return
	}
	switch r.URL.Path + "?" + r.URL.RawQuery {
	case "/instance/serial/history?most_recent=7":
		_, _ = io.WriteString(w, `{"data": [108, 111, 103, 105, 110, 58, 32], "last_byte_offset": 9}`)
		return
	case "/instance/serial?most_recent=7":
	default:
		w.WriteHeader(http.StatusFailedDependency)
		_, _ = io.WriteString(w, `{"error_code": "NoInstance", "message": "no instance here"}`)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	for said := []byte("login: "); string(said) != "bye"; {
		if conn.Write(r.Context(), websocket.MessageBinary, said) != nil {
			return
		}
		if _, said, err = conn.Read(r.Context()); err != nil {
			return
		}
	}
	_ = conn.Close(websocket.StatusNormalClosure, "the VM has ended")
}

// consoles serves an agent with one VMM, whose Propolis server is a handler.
func consoles(t *testing.T, handler http.HandlerFunc) *served {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	vm := status(1)
	vm.Addr = strings.TrimPrefix(server.URL, "http://")
	return serve(t, admintest.New(admin.About{}, vm))
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// A console passes both directions, and ends as
// the server ends it.
func TestSerial(t *testing.T) {
	t.Parallel()
	s, ctx := consoles(t, propolis), limited(t)
	conn, err := s.Serial(ctx, id(1), 7)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	for _, want := range []string{"login: ", "root\r"} {
		if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("the console shows %q (%v), want %q", got, err, want)
		}
		if err := conn.Write(ctx, websocket.MessageBinary, []byte("root\r")); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Write(ctx, websocket.MessageBinary, []byte("bye")); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, _, err = conn.Read(ctx)
	}
	if closed, ok := errors.AsType[websocket.CloseError](err); !ok || closed.Reason != "the VM has ended" {
		t.Errorf("the console ended with %v", err)
	}
}

func TestSerialHistory(t *testing.T) {
	t.Parallel()
	s := consoles(t, propolis)
	if got, err := s.SerialHistory(limited(t), id(1), 7); err != nil || string(got) != "login: " {
		t.Errorf("got %q, %v", got, err)
	}
}

// Refusals of Propolis and of the agent are told with their texts.
func TestSerialIsRefused(t *testing.T) {
	t.Parallel()
	s, ctx := consoles(t, propolis), limited(t)
	dead := status(2)
	dead.Addr = "127.0.0.1:1"
	broken := serve(t, admintest.New(admin.About{}, dead))
	for name, tc := range map[string]struct {
		s      *served
		vm     byte
		status int
		text   string
	}{
		"by Propolis": {s, 1, http.StatusFailedDependency, "no instance here"},
		"unknown VMM": {s, 3, http.StatusNotFound, "no such VMM"},
		"no Propolis": {broken, 2, http.StatusBadGateway, "connection refused"},
	} {
		conn, err := tc.s.Serial(ctx, id(tc.vm), 8)
		if err == nil {
			_ = conn.CloseNow()
		}
		_, historyErr := tc.s.SerialHistory(ctx, id(tc.vm), 8)
		for _, err := range []error{err, historyErr} {
			if e, ok := errors.AsType[*admin.Error](err); !ok || e.Status != tc.status || !strings.Contains(e.Message, tc.text) {
				t.Errorf("%s: %v, want status %d with %q", name, err, tc.status, tc.text)
			}
		}
	}
}

// Open consoles are bounded, and end with the agent.
func TestSerialsEnd(t *testing.T) {
	t.Parallel()
	s, ctx := consoles(t, propolis), limited(t)
	var all []*websocket.Conn
	for range 16 {
		conn, err := s.Serial(ctx, id(1), 7)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.CloseNow()
		all = append(all, conn)
	}
	_, err := s.Serial(ctx, id(1), 7)
	if e, ok := errors.AsType[*admin.Error](err); !ok || e.Status != http.StatusServiceUnavailable {
		t.Errorf("one console more: %v", err)
	}
	s.stop()
	for _, conn := range all {
		var err error
		for err == nil {
			_, _, err = conn.Read(ctx)
		}
		if ctx.Err() != nil {
			t.Fatal("a console outlives the agent")
		}
	}
}

// A server that hangs keeps neither a console whose client has left nor what it has shown.
func TestSerialOfAServerThatHangs(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	defer close(ended)
	s, ctx := consoles(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err == nil {
			<-ended
			_ = conn.CloseNow()
		}
	}), limited(t)
	for range 3 * 16 {
		conn, err := s.Serial(ctx, id(1), 7)
		for ; err != nil && ctx.Err() == nil; conn, err = s.Serial(ctx, id(1), 7) {
			time.Sleep(time.Millisecond) // sleep: the last one is being given up
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.CloseNow()
	}
}
