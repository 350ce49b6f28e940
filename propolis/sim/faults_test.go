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
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/propolis/sim"
)

// moment is how long a test waits for something not to happen.
const moment = 50 * time.Millisecond

// faultTests hold for each row of the table that it does what it says, over a
// real socket.
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

// silent holds that a stop gets no answer until the fault is lifted, and then
// the right one, and tells whether it is carried out meanwhile.
func silent(t *testing.T, mode string, carriedOut bool) {
	c := overSocket(t, fast())
	c.running()
	c.faults(mode)
	got := make(chan reply, 1)
	go func() { got <- c.put("Stop") }()
	if carriedOut {
		c.await(sim.Destroyed)
	}
	select {
	case r := <-got:
		t.Fatalf("stop was answered: %d", r.status)
	case <-time.After(moment):
	}
	if v := c.monitor(0); !carriedOut && v.State != sim.Running {
		t.Errorf("stop was carried out: %s", describe(v))
	}
	c.want(c.call("GET", "/instance", ""), "OK")
	c.faults()
	c.want(<-got, "No Content")
	c.await(sim.Destroyed)
}

// testDeaf sends a header that promises a body: only a server that never reads
// it lets the sender find its buffers full.
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
	c.running()
	c.faults("half-monitor")
	conn := dial(t, c)
	r := c.request("GET", "/instance/state-monitor", `{"gen":0}`)
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
	if err := c.request("PUT", "/instance/state", `"Stop"`).Write(conn); err != nil {
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
	c.await(sim.Destroyed)
}

func testTrickle(t *testing.T) {
	const every = 200 * time.Microsecond
	c := overSocket(t, fast("trickle-get="+every.String()))
	began := time.Now()
	r := c.call("GET", "/instance", "")
	c.want(r, "Failed Dependency NoInstance")
	if took, least := time.Since(began), time.Duration(len(r.body))*every; took < least {
		t.Errorf("took %s, at least %s were to be expected", took, least)
	}
}

// broken holds that a GET ends in an error that is no response.
func broken(t *testing.T, mode, want string) {
	c := overSocket(t, fast(mode))
	if r, err := c.try(c.request("GET", "/instance", "")); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %d and error %v, want %q", r.status, err, want)
	}
	c.want(c.put("Run"), "Failed Dependency NoInstance")
}

func testGarbage(t *testing.T) {
	c := overSocket(t, fast("garbage-monitor"))
	c.want(c.ensure(), "Created")
	r, err := c.try(c.request("GET", "/instance/state-monitor", `{"gen":0}`))
	if err != nil || r.status != 200 || json.Valid([]byte(r.body)) {
		t.Errorf("got %d %q, error %v", r.status, r.body, err)
	}
}

func testFlood(t *testing.T) {
	c := overSocket(t, fast("flood-get"))
	res, err := c.do(c.request("GET", "/instance", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if n, err := io.CopyN(io.Discard, res.Body, 8<<20); err != nil {
		t.Errorf("the body ended after %d bytes: %v", n, err)
	}
}

func testRefuse(t *testing.T) {
	c := overSocket(t, fast())
	c.running()
	c.faults("refuse-stop=503:Internal*2")
	c.want(c.put("Stop"), "Service Unavailable Internal")
	c.want(c.put("Reboot"), "No Content")
	c.want(c.put("Stop"), "Service Unavailable Internal")
	c.want(c.put("Stop"), "No Content")
	c.await(sim.Destroyed)
	c.faults("refuse-all=404")
	for range 3 {
		c.want(c.put("Stop"), "Not Found")
	}
}

func testStorm(t *testing.T) {
	c := overSocket(t, fast("storm"))
	c.want(c.ensure(), "Internal Server Error Internal")
	c.want(c.monitorReply(0), "Internal Server Error Internal")
	c.want(c.put("Run"), "Internal Server Error Internal")
}

func testSlow(t *testing.T) {
	c := overSocket(t, fast("slow-all="+moment.String()))
	began := time.Now()
	c.want(c.call("GET", "/instance", ""), "Failed Dependency NoInstance")
	if took := time.Since(began); took < moment {
		t.Errorf("took %s, at least %s were to be expected", took, moment)
	}
}

func testIgnore(t *testing.T) {
	c := overSocket(t, fast())
	c.running()
	c.faults("ignore-all")
	for _, request := range []string{"Stop", "Reboot", "Run"} {
		c.want(c.put(request), "No Content")
	}
	if got := describe(c.monitor(0)); got != "3 Running" {
		t.Errorf("after what was to be ignored: %s", got)
	}
}

func boot(c *client) {
	c.t.Helper()
	c.want(c.put("Run"), "No Content")
	c.await(sim.Running)
}

// testStay holds the VM in each state in turn, and lets it go.
func testStay(t *testing.T) {
	for state, play := range map[sim.State]func(c *client){
		sim.Starting: func(c *client) { c.want(c.put("Run"), "No Content"); c.want(c.put("Stop"), "No Content") },
		sim.Running:  func(c *client) { boot(c); c.want(c.put("Stop"), "No Content") },
		sim.Stopping: func(c *client) { boot(c); c.want(c.put("Stop"), "No Content") },
		sim.Stopped:  func(c *client) { boot(c); c.want(c.put("Stop"), "No Content") },
		sim.Rebooting: func(c *client) {
			boot(c)
			c.want(c.put("Reboot"), "No Content")
			c.want(c.put("Stop"), "No Content")
		},
		sim.Migrating: func(c *client) {
			boot(c)
			c.want(c.call("POST", "/sim/do/migrate-out?id="+migrationID, ""), "No Content")
			c.want(c.put("Stop"), "No Content")
		},
	} {
		c := overSocket(t, fast("stay-"+strings.ToLower(string(state))))
		c.want(c.ensure(), "Created")
		play(c)
		c.await(state)
		time.Sleep(moment / 5)
		if v := c.monitor(0); v.State != state {
			t.Errorf("stay in %s: %s", state, describe(v))
		}
		c.faults()
		c.await(sim.Destroyed)
	}
	c := overSocket(t, fast("stay-creating"))
	done := make(chan reply, 1)
	go func() { done <- c.ensure() }()
	for c.sim.Status().VM == nil {
		time.Sleep(time.Millisecond)
	}
	c.want(c.put("Run"), "Failed Dependency NoInstance")
	c.faults()
	c.want(<-done, "Created")
}

// deed holds that a mode does something to the process, by itself or after a
// state request, which is answered.
func deed(t *testing.T, want, mode, request string) {
	d := newDeeds()
	o := fast()
	o.Process = d
	c := overSocket(t, o)
	c.running()
	c.faults(mode)
	if request != "" {
		if did := d.list(); did != nil {
			t.Errorf("%q before %s", did, request)
		}
		c.want(c.put(request), "No Content")
	}
	if got := d.next(t); got != want {
		t.Errorf("did %q, want %q", got, want)
	}
}

func testCrashBefore(t *testing.T) {
	d := newDeeds()
	o := fast("crash-before-ensure")
	o.Process = d
	c := overSocket(t, o)
	if r, err := c.try(c.request("PUT", "/instance", coldStart)); err == nil {
		t.Errorf("PUT /instance was answered: %d", r.status)
	}
	if got := d.next(t); got != "crash" {
		t.Errorf("did %q", got)
	}
	if c.sim.Status().VM != nil {
		t.Error("there is a VM")
	}
}

func testIgnoreTerm(t *testing.T) {
	if !faults(t, "ignore-term").IgnoresTerm() || (sim.Faults{}).IgnoresTerm() {
		t.Error("IgnoresTerm does not follow the mode")
	}
}

func testPoweroff(t *testing.T) {
	c := overSocket(t, fast("poweroff-after=1ms"))
	c.begin()
	c.await(sim.Destroyed)
}

func testPoweroffHang(t *testing.T) {
	c := overSocket(t, fast("poweroff-hang=1ms"))
	c.begin()
	c.await(sim.Stopping)
	time.Sleep(moment / 5)
	if v := c.monitor(0); v.State != sim.Stopping {
		t.Errorf("did not stay in Stopping: %s", describe(v))
	}
	c.want(c.put("Stop"), "No Content")
}

func testLoseVM(t *testing.T) {
	c := overSocket(t, fast("lose-vm-after=1ms"))
	c.begin()
	for gen := uint64(0); ; gen++ {
		if r := c.monitorReply(gen); r.status != http.StatusOK {
			break
		}
	}
	c.want(c.monitorReply(0), "Failed Dependency NoInstance")
	c.want(c.put("Stop"), "Failed Dependency NoInstance")
	c.want(c.call("GET", "/instance", ""), "Failed Dependency NoInstance")
}

func testFailCreate(t *testing.T) {
	c := overSocket(t, fast("fail-create"))
	c.want(c.ensure(), "Internal Server Error Internal")
	if got := describe(c.monitor(0)); got != "2 Failed" {
		t.Errorf("monitor: %s", got)
	}
	c.want(c.put("Run"), "Failed Dependency NoInstance")
}

func testFailStart(t *testing.T) {
	c := overSocket(t, fast("fail-start"))
	c.begin()
	c.await(sim.Failed)
	c.want(c.put("Stop"), "Failed Dependency NoInstance")
}

func testFailMigration(t *testing.T) {
	c := overSocket(t, fast("fail-migration=Device"))
	c.want(c.call("PUT", "/instance", migrationTarget), "Created")
	if v := c.await(sim.Failed); v.Migration.In.State != sim.ErrorPhase || v.Gen < 9 {
		t.Errorf("monitor: %s", describe(v))
	}
}

func testBackwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.running()
		c.faults("backwards")
		got := make(chan sim.View, 1)
		go func() { got <- c.monitor(4) }()
		synctest.Wait()
		c.want(c.put("Stop"), "No Content")
		if v := describe(<-got); v != "2 Stopping" {
			t.Errorf("monitor from 4: %s", v)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options("backwards"))
		c.want(c.ensure(), "Created")
		if v := describe(c.monitor(0)); v != "1000 Creating" {
			t.Errorf("monitor of a new VM: %s", v)
		}
	})
}

func dial(t *testing.T, c *client) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(c.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
