package sim_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
	"github.com/sledagent/sledagent/propolis/sim"
)

// moment is how long a test waits for something not to happen.
const moment = 50 * time.Millisecond

// faultTests check over a real socket that each mode does what its table row says.
var faultTests = map[string]func(t *testing.T){
	"hang-CALL":         func(t *testing.T) { silent(t, "hang-stop", false) },
	"deaf-CALL":         testDeaf,
	"mute-CALL":         func(t *testing.T) { silent(t, "mute-stop", true) },
	"half-CALL":         testHalf,
	"trickle-CALL":      testTrickle,
	"reset-CALL":        func(t *testing.T) { broken(t, "reset-get", "EOF") },
	"garbage-CALL":      testGarbage,
	"babble-CALL":       func(t *testing.T) { broken(t, "babble-get", "malformed HTTP response") },
	"flood-CALL":        testFlood,
	"headers-CALL":      testHeaders,
	"interim-CALL":      testInterim,
	"switch-CALL":       testSwitch,
	"redirect-CALL":     testRedirect,
	"stray-CALL":        testStray,
	"refuse-CALL":       testRefuse,
	"storm":             testStorm,
	"slow-CALL":         testSlow,
	"ignore-CALL":       testIgnore,
	"stay-STATE":        testStay,
	"crash-in-STATE":    func(t *testing.T) { deed(t, "crash", "crash-in-stopping", "Stop") },
	"crash-before-CALL": testCrashBefore,
	"crash-on-CALL":     func(t *testing.T) { deed(t, "crash", "crash-on-stop", "Stop") },
	"crash-after":       func(t *testing.T) { deed(t, "crash", "crash-after=1ms", "") },
	"exit-after":        func(t *testing.T) { deed(t, "exit", "exit-after=1ms", "") },
	"freeze-after":      func(t *testing.T) { deed(t, "freeze", "freeze-after=1ms", "") },
	"escape":            func(t *testing.T) { deed(t, "escape 10m0s", "escape", "") },
	"ignore-term":       testIgnoreTerm,
	"poweroff-after":    testPoweroff,
	"poweroff-hang":     testPoweroffHang,
	"lose-vm-after":     testLoseVM,
	"fail-create":       testFailCreate,
	"fail-start":        testFailStart,
	"fail-migration":    testFailMigration,
	"backwards":         testBackwards,
	"both-migrations":   testBothMigrations,
	"unknown-migration": testUnknownMigration,
	"wrong-instance":    testWrongInstance,
	"fall-back-after":   testFallBack,
	"obey-after":        func(t *testing.T) { softly(t, "obey-after=1ms", "600") },
	"ignore-button":     func(t *testing.T) { softly(t, "ignore-button", "1") },
	"hang-soft":         testHangSoft,
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, m := range sim.Modes() {
		test := faultTests[m.Name]
		if test == nil {
			t.Errorf("mode %s has no test", m.Name)
			continue
		}
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
	if len(faultTests) != len(sim.Modes()) {
		t.Errorf("%d tests for %d modes", len(faultTests), len(sim.Modes()))
	}
}

// silent checks that a stop gets no answer until the fault is removed, and whether it is
// carried out meanwhile.
func silent(t *testing.T, mode string, carriedOut bool) {
	c := overSocket(t, fast())
	c.Running()
	c.faults(mode)
	got := make(chan servertest.Reply, 1)
	go func() { got <- c.Put("Stop") }()
	if carriedOut {
		c.Await(server.Destroyed)
	}
	select {
	case r := <-got:
		t.Fatalf("stop was answered: %d", r.Status)
	case <-time.After(moment):
	}
	if v := c.Monitor(0); !carriedOut && v.State != server.Running {
		t.Errorf("stop was carried out: %s", describe(v))
	}
	c.Want(c.Call("GET", "/instance", ""), "OK")
	c.faults()
	c.Want(<-got, "No Content")
	c.Await(server.Destroyed)
}

// testDeaf sends a header that promises a body. Only if the server never reads it do the
// sender's buffers fill up.
func testDeaf(t *testing.T) {
	c := overSocket(t, fast("deaf-ensure"))
	conn := dial(t, c)
	header := "PUT /instance HTTP/1.1\r\nHost: sim\r\nApi-Version: 6.0.0\r\nContent-Length: 1000000000\r\n\r\n"
	if _, err := io.WriteString(conn, header); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for sent := 0; ; sent++ {
		if err := conn.SetWriteDeadline(time.Now().Add(20 * moment)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(block); err != nil {
			return
		}
		if sent > 200 {
			t.Fatal("the body is read")
		}
	}
}

func testHalf(t *testing.T) {
	c := overSocket(t, fast())
	c.Running()
	c.faults("half-monitor")
	conn := dial(t, c)
	r := c.Request("GET", "/instance/state-monitor", `{"gen":0}`)
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	half := make([]byte, res.ContentLength/2)
	if _, err := io.ReadFull(res.Body, half); err != nil {
		t.Fatalf("half of the body: %v", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(moment)); err != nil {
		t.Fatal(err)
	}
	if n, err := res.Body.Read(half); n != 0 || !errors.As(err, new(net.Error)) {
		t.Errorf("more than half of the body: %d bytes, %v", n, err)
	}
	c.faults("half-stop")
	conn = dial(t, c)
	if err := c.Request("PUT", "/instance/state", `"Stop"`).Write(conn); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, half[:1]); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(moment)); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err == nil || strings.Contains(string(rest), "\r\n\r\n") {
		t.Errorf("more than half of a header: %q, %v", rest, err)
	}
	c.Await(server.Destroyed)
}

func testTrickle(t *testing.T) {
	const every = 200 * time.Microsecond
	c := overSocket(t, fast("trickle-get="+every.String()))
	began := time.Now()
	r := c.Call("GET", "/instance", "")
	c.Want(r, "Failed Dependency NoInstance")
	if took, least := time.Since(began), time.Duration(len(r.Body))*every; took < least {
		t.Errorf("took %s, at least %s were to be expected", took, least)
	}
}

// broken checks that a GET ends in an error and not in a response.
func broken(t *testing.T, mode, want string) {
	c := overSocket(t, fast(mode))
	if r, err := c.Try(c.Request("GET", "/instance", "")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %d and error %v, want %q", r.Status, err, want)
	}
	c.Want(c.Put("Run"), "Failed Dependency NoInstance")
}

func testGarbage(t *testing.T) {
	c := overSocket(t, fast("garbage-monitor"))
	c.Want(c.Ensure(), "Created")
	r, err := c.Try(c.Request("GET", "/instance/state-monitor", `{"gen":0}`))
	if err != nil || r.Status != 200 || json.Valid([]byte(r.Body)) {
		t.Errorf("got %d %q, error %v", r.Status, r.Body, err)
	}
}

func testFlood(t *testing.T) {
	c := overSocket(t, fast("flood-get"))
	res, err := c.Do(c.Request("GET", "/instance", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.CopyN(io.Discard, res.Body, 8<<20); err != nil {
		t.Errorf("the body ended after %d bytes: %v", n, err)
	}
}

// get sends a GET /instance to a simulator with a VM and returns the raw answer.
func get(t *testing.T, mode string) *bufio.Reader {
	t.Helper()
	c := overSocket(t, fast())
	c.Want(c.Ensure(), "Created")
	c.faults(mode)
	conn := dial(t, c)
	if err := c.Request("GET", "/instance", "").Write(conn); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(conn)
}

// response reads a response and its body.
func response(t *testing.T, r *bufio.Reader) (status int, header http.Header, body string) {
	t.Helper()
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Error(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func testHeaders(t *testing.T) {
	text, err := io.ReadAll(io.LimitReader(get(t, "headers-get"), 8<<20))
	if err != nil || len(text) != 8<<20 || !strings.HasPrefix(string(text), "HTTP/1.1 200 OK\r\n") || strings.Contains(string(text), "\r\n\r\n") {
		t.Errorf("%d bytes of headers, %v", len(text), err)
	}
}

func testInterim(t *testing.T) {
	r := get(t, "interim-get")
	for range 10000 {
		if status, _, _ := response(t, r); status != 103 {
			t.Fatalf("got %d", status)
		}
	}
}

func testSwitch(t *testing.T) {
	r := get(t, "switch-get")
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v", res, err)
	}
	res.Body.Close()
	if n, err := io.CopyN(io.Discard, r, 1<<20); err != nil {
		t.Errorf("%d bytes followed: %v", n, err)
	}
}

func testRedirect(t *testing.T) {
	if status, header, _ := response(t, get(t, "redirect-get")); status != 307 || header.Get("Location") != "/instance" {
		t.Errorf("got %d %v", status, header)
	}
}

func testStray(t *testing.T) {
	r := get(t, "stray-get")
	if status, _, body := response(t, r); status != 200 || !strings.Contains(body, "Creating") {
		t.Errorf("got %d %s", status, body)
	}
	if status, _, body := response(t, r); status != 424 || !strings.Contains(body, "NoInstance") {
		t.Errorf("got %d %s, unasked", status, body)
	}
}

func testRefuse(t *testing.T) {
	c := overSocket(t, fast())
	c.Running()
	c.faults("refuse-stop=503:Internal*2")
	c.Want(c.Put("Stop"), "Service Unavailable Internal")
	c.Want(c.Put("Reboot"), "No Content")
	c.Want(c.Put("Stop"), "Service Unavailable Internal")
	c.Want(c.Put("Stop"), "No Content")
	c.Await(server.Destroyed)
	c.faults("refuse-all=404")
	for range 3 {
		c.Want(c.Put("Stop"), "Not Found")
	}
}

func testStorm(t *testing.T) {
	c := overSocket(t, fast("storm"))
	c.Want(c.Ensure(), "Internal Server Error Internal")
	c.Want(c.MonitorReply(0), "Internal Server Error Internal")
	c.Want(c.Put("Run"), "Internal Server Error Internal")
}

func testSlow(t *testing.T) {
	c := overSocket(t, fast("slow-all="+moment.String()))
	began := time.Now()
	c.Want(c.Call("GET", "/instance", ""), "Failed Dependency NoInstance")
	if took := time.Since(began); took < moment {
		t.Errorf("took %s, at least %s were to be expected", took, moment)
	}
}

func testIgnore(t *testing.T) {
	c := overSocket(t, fast())
	c.Running()
	c.faults("ignore-all")
	for _, request := range []string{"Stop", "Reboot", "Run"} {
		c.Want(c.Put(request), "No Content")
	}
	if got := describe(c.Monitor(0)); got != "3 Running" {
		t.Errorf("after what was to be ignored: %s", got)
	}
}

func dial(t *testing.T, c *client) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(c.Base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
