package sim_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
	"github.com/sledagent/sledagent/propolis/sim"
)

func boot(c *client) {
	c.T.Helper()
	c.Want(c.Put("Run"), "No Content")
	c.Await(server.Running)
}

// testStay holds the VM in each state in turn and releases it.
func testStay(t *testing.T) {
	for state, play := range map[server.State]func(c *client){
		server.Starting: func(c *client) { c.Want(c.Put("Run"), "No Content"); c.Want(c.Put("Stop"), "No Content") },
		server.Running:  func(c *client) { boot(c); c.Want(c.Put("Stop"), "No Content") },
		server.Stopping: func(c *client) { boot(c); c.Want(c.Put("Stop"), "No Content") },
		server.Stopped:  func(c *client) { boot(c); c.Want(c.Put("Stop"), "No Content") },
		server.Rebooting: func(c *client) {
			boot(c)
			c.Want(c.Put("Reboot"), "No Content")
			c.Want(c.Put("Stop"), "No Content")
		},
		server.Migrating: func(c *client) {
			boot(c)
			c.Want(c.Call("POST", "/sim/do/migrate-out?id="+servertest.MigrationID, ""), "No Content")
			c.Want(c.Put("Stop"), "No Content")
		},
	} {
		c := overSocket(t, fast("stay-"+strings.ToLower(string(state))))
		c.Want(c.Ensure(), "Created")
		play(c)
		c.Await(state)
		time.Sleep(moment / 5) // sleep: tests that nothing happens for a while
		if v := c.Monitor(0); v.State != state {
			t.Errorf("stay in %s: %s", state, describe(v))
		}
		c.faults()
		c.Await(server.Destroyed)
	}
	c := overSocket(t, fast("stay-creating"))
	done := make(chan servertest.Reply, 1)
	go func() { done <- c.Ensure() }()
	for c.sim.Status().VM == nil {
		time.Sleep(time.Millisecond) // sleep: polls with a deadline
	}
	c.Want(c.Put("Run"), "Failed Dependency NoInstance")
	c.faults()
	c.Want(<-done, "Created")
}

// deed checks that a mode does something to the process, by itself or after a state
// request, which is answered.
func deed(t *testing.T, want, mode, request string) {
	d := newDeeds()
	o := fast()
	o.Process = d
	c := overSocket(t, o)
	c.Running()
	c.faults(mode)
	if request != "" {
		if did := d.list(); did != nil {
			t.Errorf("%q before %s", did, request)
		}
		c.Want(c.Put(request), "No Content")
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
	if r, err := c.Try(c.Request("PUT", "/instance", servertest.ColdStart)); err == nil {
		t.Errorf("PUT /instance was answered: %d", r.Status)
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
	c.Begin()
	c.Await(server.Destroyed)
}

func testPoweroffHang(t *testing.T) {
	c := overSocket(t, fast("poweroff-hang=1ms"))
	c.Begin()
	c.Await(server.Stopping)
	time.Sleep(moment / 5) // sleep: tests that nothing happens for a while
	if v := c.Monitor(0); v.State != server.Stopping {
		t.Errorf("did not stay in Stopping: %s", describe(v))
	}
	c.Want(c.Put("Stop"), "No Content")
}

func testLoseVM(t *testing.T) {
	c := overSocket(t, fast("lose-vm-after=1ms"))
	c.Begin()
	for gen := uint64(0); ; gen++ {
		if r := c.MonitorReply(gen); r.Status != http.StatusOK {
			break
		}
	}
	c.Want(c.MonitorReply(0), "Failed Dependency NoInstance")
	c.Want(c.Put("Stop"), "Failed Dependency NoInstance")
	c.Want(c.Call("GET", "/instance", ""), "Failed Dependency NoInstance")
}

func testFailCreate(t *testing.T) {
	c := overSocket(t, fast("fail-create"))
	c.Want(c.Ensure(), "Internal Server Error Internal")
	if got := describe(c.Monitor(0)); got != "2 Failed" {
		t.Errorf("monitor: %s", got)
	}
	c.Want(c.Put("Run"), "Failed Dependency NoInstance")
}

func testFailStart(t *testing.T) {
	c := overSocket(t, fast("fail-start"))
	c.Begin()
	c.Await(server.Failed)
	c.Want(c.Put("Stop"), "Failed Dependency NoInstance")
}

func testFailMigration(t *testing.T) {
	c := overSocket(t, fast("fail-migration=Device"))
	c.Want(c.Call("PUT", "/instance", servertest.MigrationTarget), "Created")
	if v := c.Await(server.Failed); v.Migration.In.State != server.ErrorPhase || v.Gen < 9 {
		t.Errorf("monitor: %s", describe(v))
	}
}

func testBackwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.Running()
		c.faults("backwards")
		got := make(chan server.View, 1)
		go func() { got <- c.Monitor(4) }()
		synctest.Wait()
		c.Want(c.Put("Stop"), "No Content")
		if v := describe(<-got); v != "2 Stopping" {
			t.Errorf("monitor from 4: %s", v)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options("backwards"))
		c.Want(c.Ensure(), "Created")
		if v := describe(c.Monitor(0)); v != "1000 Creating" {
			t.Errorf("monitor of a new VM: %s", v)
		}
	})
}
