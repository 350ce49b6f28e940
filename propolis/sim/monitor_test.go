package sim_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/propolis/sim"
)

// TestMonitorAnswersAtOnce: with a generation that has been reached, and then
// with the latest view only.
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

// TestMonitorBlocks until the generation is reached, however far ahead it is,
// and wakes everybody who waits.
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

// TestMonitorGone: whoever waits for a generation of a VM that another one has
// replaced will wait in vain.
func TestMonitorGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(t, options())
		c.running()
		c.want(c.put("Stop"), "No Content")
		last := c.await(sim.Destroyed)
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

// TestMonitorLeaves: one whose client has gone leaves nothing behind (the leak
// check of the package is the test), and one that waits when the simulator is
// closed gets no answer.
func TestMonitorLeaves(t *testing.T) {
	t.Parallel()
	c := overSocket(t, fast())
	c.running()
	done := make(chan error, 1)
	go func() {
		_, err := c.try(c.request("GET", "/instance/state-monitor", `{"gen":99}`))
		done <- err
	}()
	for c.sim.Status().Calls["monitor"] < 3 {
		c.monitor(0)
	}
	c.sim.Close()
	if err := <-done; err == nil {
		t.Error("got an answer from a closed simulator")
	}
}
