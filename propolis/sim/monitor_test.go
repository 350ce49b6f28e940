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
)

// The monitor answers at once for a generation that has been reached, with the latest view.
func TestMonitorAnswersAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.want(c.monitorReply(0), "Failed Dependency NoInstance")
		c.running()
		began := time.Now()
		for gen := range uint64(4) {
			if got := describe(c.monitor(gen)); got != "3 Running" {
				t.Errorf("monitor from %d: %s", gen, got)
			}
		}
		want := `{"gen":3,"state":"Running","migration":{"migration_in":null,"migration_out":null}}`
		if got := c.monitorReply(0).body; got != want {
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
		c.running()
		const waiters = 50
		var answered atomic.Int32
		for range waiters {
			go func() {
				if got := describe(c.monitor(5)); got != "5 Stopped" {
					t.Errorf("monitor from 5: %s", got)
				}
				answered.Add(1)
			}()
		}
		time.Sleep(time.Hour)
		c.want(c.put("Stop"), "No Content")
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
		c.running()
		c.want(c.put("Stop"), "No Content")
		last := c.await(server.Destroyed)
		got := make(chan reply, 1)
		go func() { got <- c.monitorReply(last.Gen + 3) }()
		synctest.Wait()
		c.want(c.ensure(), "Created")
		r := <-got
		c.want(r, "Gone NoInstance")
		if m := r.err(t).Message; m != "No instance present; will never reach generation 9" {
			t.Errorf("message %q", m)
		}
	})
}

// A monitor whose client has disconnected stays pending until the VM reaches its
// generation. One that is pending when the simulator is closed gets no answer.
func TestMonitorGivenUp(t *testing.T) {
	t.Parallel()
	c := overSocket(t, fast())
	c.running()
	const givenUp = 5
	ctx, giveUp := context.WithCancel(t.Context())
	var gone sync.WaitGroup
	for range givenUp {
		gone.Go(func() {
			if _, err := c.try(c.request("GET", "/instance/state-monitor", `{"gen":4}`).WithContext(ctx)); err == nil {
				t.Error("got an answer")
			}
		})
	}
	last := make(chan error, 1)
	go func() {
		_, err := c.try(c.request("GET", "/instance/state-monitor", `{"gen":99}`))
		last <- err
	}()
	c.monitors(givenUp + 1)
	giveUp()
	gone.Wait()
	time.Sleep(moment) // sleep: tests that nothing happens for a while
	c.monitors(givenUp + 1)
	c.faults("stay-stopping")
	c.want(c.put("Stop"), "No Content")
	c.monitors(1)
	c.sim.Close()
	if err := <-last; err == nil {
		t.Error("got an answer from a closed simulator")
	}
	c.monitors(0)
}

// monitors waits until the given number of monitor calls is pending.
func (c *client) monitors(want int) {
	c.t.Helper()
	got := -1
	for end := time.Now().Add(waitLimit); got != want && time.Now().Before(end); {
		got = c.sim.Status().Monitors
		time.Sleep(time.Millisecond) // sleep: polls with a deadline
	}
	if got != want {
		c.t.Errorf("%d monitors are under way, want %d", got, want)
	}
}

// PUT /instance goes on when its client disconnects. Meanwhile the VM can be read, another
// one is refused, and so are state changes.
func TestEnsureGivenUp(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"stay-creating", "slow-ensure=1ms"} {
		for _, body := range []string{coldStart, migrationTarget} {
			c := overSocket(t, fast(mode))
			held := mode == "stay-creating" && body == coldStart
			ctx, giveUp := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := c.try(c.request("PUT", "/instance", body).WithContext(ctx))
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
				r := c.call("GET", "/instance", "")
				if c.want(r, "OK"); !strings.Contains(r.body, `"id":"4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"`) || !strings.Contains(r.body, `"state":"Creating"`) {
					t.Errorf("GET /instance: %s", r.body)
				}
				for _, state := range []string{"Run", "Stop", "Reboot"} {
					c.want(c.put(state), "Failed Dependency NoInstance")
				}
				c.want(c.ensure(), "Conflict AlreadyInitialized")
			}
			c.faults()
			for c.put("Run").status != http.StatusNoContent {
				time.Sleep(time.Millisecond) // sleep: polls with a deadline
			}
			c.await(server.Running)
			c.want(c.ensure(), "Conflict AlreadyInitialized")
		}
	}
}
