package sim_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

// The monitor answers at once for a generation that has been reached, with the latest view.
func TestMonitorAnswersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.Want(c.MonitorReply(0), "Failed Dependency NoInstance")
		c.Running()
		began := time.Now()
		for gen := range uint64(4) {
			if got := describe(c.Monitor(gen)); got != "3 Running" {
				t.Errorf("monitor from %d: %s", gen, got)
			}
		}
		want := `{"gen":3,"state":"Running","migration":{"migration_in":null,"migration_out":null}}`
		if got := c.MonitorReply(0).Body; got != want {
			t.Errorf("monitor: %s, want %s", got, want)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

// The monitor blocks until the generation is reached, and then wakes all that wait.
func TestMonitorBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.Running()
		const waiters = 50
		var answered atomic.Int32
		for range waiters {
			go func() {
				if got := describe(c.Monitor(5)); got != "5 Stopped" {
					t.Errorf("monitor from 5: %s", got)
				}
				answered.Add(1)
			}()
		}
		time.Sleep(time.Hour)
		c.Want(c.Put("Stop"), "No Content")
		synctest.Wait()
		if n := answered.Load(); n != 0 {
			t.Errorf("%d answered in generation 4", n)
		}
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if n := answered.Load(); n != waiters {
			t.Errorf("%d of %d answered in generation 5", n, waiters)
		}
	})
}

// A monitor that waits for a VM that was replaced gets an error.
func TestMonitorGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.Running()
		c.Want(c.Put("Stop"), "No Content")
		last := c.Await(server.Destroyed)
		got := make(chan servertest.Reply, 1)
		go func() { got <- c.MonitorReply(last.Gen + 3) }()
		synctest.Wait()
		c.Want(c.Ensure(), "Created")
		r := <-got
		c.Want(r, "Gone NoInstance")
		if m := r.Err(t).Message; m != "No instance present; will never reach generation 9" {
			t.Errorf("message %q", m)
		}
	})
}

// A monitor whose client has disconnected stays pending until the VM reaches its
// generation. One that is pending when the simulator is closed gets no answer.
func TestMonitorGivenUp(t *testing.T) {
	t.Parallel()
	c := overSocket(t, fast())
	c.Running()
	const givenUp = 5
	ctx, giveUp := context.WithCancel(t.Context())
	var gone sync.WaitGroup
	for range givenUp {
		gone.Go(func() {
			if _, err := c.Try(c.Request("GET", "/instance/state-monitor", `{"gen":4}`).WithContext(ctx)); err == nil {
				t.Error("got an answer")
			}
		})
	}
	last := make(chan error, 1)
	go func() {
		_, err := c.Try(c.Request("GET", "/instance/state-monitor", `{"gen":99}`))
		last <- err
	}()
	c.monitors(givenUp + 1)
	giveUp()
	gone.Wait()
	time.Sleep(moment) // sleep: tests that nothing happens for a while
	c.monitors(givenUp + 1)
	c.faults("stay-stopping")
	c.Want(c.Put("Stop"), "No Content")
	c.monitors(1)
	c.sim.Close()
	if err := <-last; err == nil {
		t.Error("got an answer from a closed simulator")
	}
	c.monitors(0)
}

// monitors waits until the given number of monitor calls is pending.
func (c *client) monitors(want int) {
	c.T.Helper()
	got := -1
	for end := time.Now().Add(servertest.WaitLimit); got != want && time.Now().Before(end); {
		got = c.sim.Status().Monitors
		time.Sleep(time.Millisecond) // sleep: polls with a deadline
	}
	if got != want {
		c.T.Errorf("%d monitors are under way, want %d", got, want)
	}
}

// PUT /instance goes on when its client disconnects. Meanwhile the VM can be read, another
// one is refused, and so are state changes.
func TestEnsureGivenUp(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"stay-creating", "slow-ensure=1ms"} {
		for _, body := range []string{servertest.ColdStart, servertest.MigrationTarget} {
			c := overSocket(t, fast(mode))
			held := mode == "stay-creating" && body == servertest.ColdStart
			ctx, giveUp := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := c.Try(c.Request("PUT", "/instance", body).WithContext(ctx))
				done <- err
			}()
			for held && c.sim.Status().VM == nil || c.sim.Status().Calls["ensure"] == 0 {
				time.Sleep(time.Millisecond) // sleep: polls with a deadline
			}
			giveUp()
			if err := <-done; held && err == nil {
				t.Errorf("%s: PUT /instance was answered", mode)
			}
			if held {
				r := c.Call("GET", "/instance", "")
				if c.Want(r, "OK"); !strings.Contains(r.Body, `"id":"4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"`) || !strings.Contains(r.Body, `"state":"Creating"`) {
					t.Errorf("GET /instance: %s", r.Body)
				}
				for _, state := range []string{"Run", "Stop", "Reboot"} {
					c.Want(c.Put(state), "Failed Dependency NoInstance")
				}
				c.Want(c.Ensure(), "Conflict AlreadyInitialized")
			}
			c.faults()
			for c.Put("Run").Status != http.StatusNoContent {
				time.Sleep(time.Millisecond) // sleep: polls with a deadline
			}
			c.Await(server.Running)
			c.Want(c.Ensure(), "Conflict AlreadyInitialized")
		}
	}
}
