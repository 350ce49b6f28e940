package sim_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/sim"
)

func boot(c *client) {
	c.t.Helper()
	c.want(c.put("Run"), "No Content")
	c.await(server.Running)
}

// testStay holds the VM in each state in turn and releases it.
func testStay(t *testing.T) {
	for state, play := range map[server.State]func(c *client){
		server.Starting: func(c *client) { c.want(c.put("Run"), "No Content"); c.want(c.put("Stop"), "No Content") },
		server.Running:  func(c *client) { boot(c); c.want(c.put("Stop"), "No Content") },
		server.Stopping: func(c *client) { boot(c); c.want(c.put("Stop"), "No Content") },
		server.Stopped:  func(c *client) { boot(c); c.want(c.put("Stop"), "No Content") },
		server.Rebooting: func(c *client) {
			boot(c)
			c.want(c.put("Reboot"), "No Content")
			c.want(c.put("Stop"), "No Content")
		},
		server.Migrating: func(c *client) {
			boot(c)
			c.want(c.call("POST", "/sim/do/migrate-out?id="+migrationID, ""), "No Content")
			c.want(c.put("Stop"), "No Content")
		},
	} {
		c := overSocket(t, fast("stay-"+strings.ToLower(string(state))))
		c.want(c.ensure(), "Created")
		play(c)
		c.await(state)
		time.Sleep(moment / 5) // sleep: tests that nothing happens for a while
		if v := c.monitor(0); v.State != state {
			t.Errorf("stay in %s: %s", state, describe(v))
		}
		c.faults()
		c.await(server.Destroyed)
	}
	c := overSocket(t, fast("stay-creating"))
	done := make(chan reply, 1)
	go func() { done <- c.ensure() }()
	for c.sim.Status().VM == nil {
		time.Sleep(time.Millisecond) // sleep: polls with a deadline
	}
	c.want(c.put("Run"), "Failed Dependency NoInstance")
	c.faults()
	c.want(<-done, "Created")
}

// deed checks that a mode does something to the process, by itself or after a state
// request, which is answered.
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
	c.await(server.Destroyed)
}

func testPoweroffHang(t *testing.T) {
	c := overSocket(t, fast("poweroff-hang=1ms"))
	c.begin()
	c.await(server.Stopping)
	time.Sleep(moment / 5) // sleep: tests that nothing happens for a while
	if v := c.monitor(0); v.State != server.Stopping {
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
	c.await(server.Failed)
	c.want(c.put("Stop"), "Failed Dependency NoInstance")
}

func testFailMigration(t *testing.T) {
	c := overSocket(t, fast("fail-migration=Device"))
	c.want(c.call("PUT", "/instance", migrationTarget), "Created")
	if v := c.await(server.Failed); v.Migration.In.State != server.ErrorPhase || v.Gen < 9 {
		t.Errorf("monitor: %s", describe(v))
	}
}

func testBackwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.running()
		c.faults("backwards")
		got := make(chan server.View, 1)
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
