package sim_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
	"github.com/sledagent/sledagent/propolis/sim"
)

// A monitor follows a VM during concurrent requests of all kinds. There must be no race, no
// answer outside the contract, and no call left waiting.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	c := inProcess(t, fast())
	c.Running()
	menu := []func(*rand.Rand){
		func(*rand.Rand) { c.Put("Run") },
		func(*rand.Rand) { c.Put("Reboot") },
		func(r *rand.Rand) {
			if r.IntN(10) == 0 {
				c.Put("Stop")
			}
		},
		func(*rand.Rand) { c.Ensure() },
		func(*rand.Rand) { c.Call("GET", "/instance/spec", "") },
		func(r *rand.Rand) {
			modes := []string{"", "stay-rebooting", "stay-stopping", "ignore-stop", "poweroff-after=1ms", "fail-start"}
			c.faults(modes[r.IntN(len(modes))])
		},
		func(r *rand.Rand) {
			all := sim.Actions()
			if err := c.sim.Do(all[r.IntN(len(all))].Name); err != nil && !errors.Is(err, sim.ErrNotNow) {
				t.Error(err)
			}
		},
	}
	var crowd sync.WaitGroup
	for i := range uint64(4) {
		crowd.Go(func() {
			r := rand.New(rand.NewPCG(i, 1))
			for range 300 {
				menu[r.IntN(len(menu))](r)
			}
		})
	}
	watched := make(chan int, 1)
	quit := make(chan struct{})
	go func() { watched <- follow(c, quit) }()
	crowd.Wait()
	close(quit)
	c.faults()
	_ = c.sim.Do("lose-vm")
	select {
	case n := <-watched:
		t.Logf("%d views", n)
	case <-time.After(servertest.WaitLimit):
		t.Error("a monitor still waits for a VM that is lost")
	}
}

// follow watches one VM after the other until quit and counts the views.
func follow(c *client, quit <-chan struct{}) (views int) {
	var last server.View
	for {
		select {
		case <-quit:
			return views
		default:
		}
		r := c.MonitorReply(last.Gen + 1)
		if r.Status != 200 {
			last = server.View{}
			continue
		}
		views++
		v := servertest.Decode[server.View](c.T, r.Body)
		if v.Gen <= last.Gen {
			c.T.Errorf("%s when a generation after %s was asked for", describe(v), describe(last))
		}
		last = v
	}
}
