package server_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// An echo is a Machine whose console writes what is sent to it, in capital letters.
type echo struct {
	instant
	mu      sync.Mutex
	written []byte
	more    chan struct{}
	over    bool
}

func (e *echo) ReadConsole(from uint64, limit int) (data []byte, next uint64, more <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	data = bytes.Clone(e.written[from:min(len(e.written), int(from)+limit)])
	if !e.over {
		more = e.more
	}
	return data, from + uint64(len(data)), more
}

func (e *echo) ConsoleEnd() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return uint64(len(e.written))
}

func (e *echo) WriteConsole(_ context.Context, input []byte) error {
	if string(input) == "hang" {
		return errors.New("it does not read")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.written = append(e.written, bytes.ToUpper(input)...)
	e.over = string(input) == "end"
	close(e.more)
	e.more = make(chan struct{})
	return nil
}

func echoes(t *testing.T) *servertest.Client {
	t.Helper()
	c := overSocket(t, server.Options{Make: func(vm *server.VM) server.Machine {
		return &echo{instant: instant{puppet{vm: vm}}, written: []byte("hello"), more: make(chan struct{})}
	}})
	c.Want(c.Ensure(), "Created")
	return c
}

// attach connects with the console.
func attach(t *testing.T, c *servertest.Client, query string) *websocket.Conn {
	t.Helper()
	conn, res, err := websocket.Dial(t.Context(), c.Base+"/instance/serial"+query,
		&websocket.DialOptions{HTTPHeader: http.Header{"Api-Version": {"6.0.0"}}})
	if err != nil {
		t.Fatalf("%v: %+v", err, res)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

func send(t *testing.T, conn *websocket.Conn, kind websocket.MessageType, text string) {
	t.Helper()
	if err := conn.Write(t.Context(), kind, []byte(text)); err != nil {
		t.Error(err)
	}
}

// reads reads frames until they have as many bytes as a text, which they must be.
func reads(t *testing.T, conn *websocket.Conn, want string) {
	t.Helper()
	var got []byte
	for len(got) < len(want) {
		kind, frame, err := conn.Read(t.Context())
		if err != nil || kind != websocket.MessageBinary {
			t.Fatalf("after %q: %v, %v", got, kind, err)
		}
		got = append(got, frame...)
	}
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSerialConsole(t *testing.T) {
	t.Parallel()
	c := echoes(t)
	live, all, last := attach(t, c, ""), attach(t, c, "?from_start=0"), attach(t, c, "?most_recent=2")
	reads(t, all, "hello")
	reads(t, last, "lo")
	send(t, live, websocket.MessageText, "ignored")
	send(t, live, websocket.MessageBinary, "abc")
	for _, conn := range []*websocket.Conn{live, all, last} {
		reads(t, conn, "ABC")
	}
	send(t, all, websocket.MessageBinary, "hang")
	if _, _, err := all.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusInternalError {
		t.Errorf("a guest that does not read: %v", err)
	}
	// After the VM's end everybody gets the rest, and then the end.
	send(t, live, websocket.MessageBinary, "end")
	reads(t, last, "END")
	if _, _, err := last.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("at the end: %v", err)
	}
}

func TestSerialHistory(t *testing.T) {
	t.Parallel()
	c := echoes(t)
	for query, want := range map[string]string{
		"from_start=0":               `{"data":[104,101,108,108,111],"last_byte_offset":5}`,
		"from_start=4":               `{"data":[111],"last_byte_offset":5}`,
		"most_recent=4&max_bytes=2":  `{"data":[101,108],"last_byte_offset":3}`,
		"most_recent=99&max_bytes=0": `{"data":[],"last_byte_offset":0}`,
	} {
		if got := c.Call("GET", "/instance/serial/history?"+query, ""); got.Body != want {
			t.Errorf("%s: %s", query, got.Body)
		}
	}
	for query, want := range map[string]string{
		"":                           "want from_start or most_recent",
		"from_start=1&most_recent=1": "exclude each other",
		"from_start=-1":              `unable to parse query string: from_start: want a number, got "-1"`,
		"most_recent=1&max_bytes=x":  `max_bytes: want a number, got "x"`,
	} {
		if got := c.Call("GET", "/instance/serial/history?"+query, ""); got.Status != 400 || !strings.Contains(got.Err(t).Message, want) {
			t.Errorf("%q: %d %s", query, got.Status, got.Body)
		}
	}
	if got := c.Call("GET", "/instance/serial?from_start=1&most_recent=1", ""); got.Status != 400 {
		t.Errorf("a stream from two places: %d", got.Status)
	}
}

// Neither without a VM nor with a Machine that has no console.
func TestNoSerialConsole(t *testing.T) {
	t.Parallel()
	c := overSocket(t, server.Options{})
	for _, want := range []string{"Failed Dependency NoInstance", "Not Found"} {
		for _, path := range []string{"/instance/serial", "/instance/serial/history?from_start=0"} {
			c.Want(c.Call("GET", path, ""), want)
		}
		c.Ensure()
	}
}

// More clients than there may be are refused, and a place is free again when one has left.
func TestManyConsoles(t *testing.T) {
	t.Parallel()
	c := echoes(t)
	var conns []*websocket.Conn
	for range 16 {
		conns = append(conns, attach(t, c, "?from_start=0"))
	}
	if got := c.Call("GET", "/instance/serial", ""); got.Status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", got.Status)
	}
	conns[0].CloseNow()
	for {
		_, res, err := websocket.Dial(t.Context(), c.Base+"/instance/serial",
			&websocket.DialOptions{HTTPHeader: http.Header{"Api-Version": {"6.0.0"}}})
		if err == nil {
			return
		}
		if res == nil || res.StatusCode != http.StatusServiceUnavailable {
			t.Fatal(err)
		}
	}
}

// A spec that no Machine can be made of is refused, and no VM is made. A VM that exists stays.
func TestRefusedSpec(t *testing.T) {
	t.Parallel()
	var refuse bool
	c := inProcess(t, server.Options{Check: func(*server.Ensured) error {
		if refuse {
			return errors.New(`component "x": no`)
		}
		return nil
	}})
	refuse = true
	if got := c.Ensure(); got.Status != 400 || got.Err(t).Message != `invalid instance spec: component "x": no` {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	c.Want(c.Call("GET", "/instance", ""), "Failed Dependency NoInstance")
	refuse = false
	c.Want(c.Ensure(), "Created")
	refuse = true
	c.Want(c.Ensure(), "Conflict AlreadyInitialized")
}
