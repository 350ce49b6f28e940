package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// outages are the ways in which Nexus fails the agent, as nexussim names them.
var outages = map[string]string{
	"refuses connections":  "refuse",
	"is silent":            "silent",
	"answers 500":          "status=500",
	"answers 503":          "status=503",
	"answers 400":          "status=400",
	"answers 200":          "status=200",
	"redirects":            "status=307",
	"answers rubbish":      "garbage",
	"resets connections":   "reset",
	"loses its answers":    "lost-answer",
	"sends half an answer": "half",
	"takes its time":       "delay=1h",
}

// Nothing that Nexus does or fails to do delays a removal, and once it is well it
// gets what happened meanwhile (D, T).
func TestStopWithoutNexus(t *testing.T) {
	t.Parallel()
	for name, fault := range outages {
		t.Run(name, func(t *testing.T) {
			l := newSled(t, setup{nexusPort: fault == "refuse", nexus: section{"request_timeout": "500ms"}})
			v := l.launch()
			v.lies("stay-stopping")
			l.nexus.fault(fault)
			s := v.stop(grace)
			v.removedOnTime(s)
			v.event("terminal")
			v.gone()
			if got := v.state(); got.status != http.StatusOK {
				t.Errorf("before Nexus knows the end, the state is answered with %v", got)
			}
			l.nexus.heal()
			v.endsDestroyed()
		})
	}
}

// A Nexus that is down from the agent's start on is no reason to do nothing.
func TestLifeWithoutNexus(t *testing.T) {
	l := newSled(t, setup{nexusPort: true})
	l.nexus.fault("refuse")
	v := l.register()
	v.run()
	v.observed("Running")
	v.lies("hang-stop")
	s := v.stop(grace)
	v.removedOnTime(s)
	v.event("terminal")
	l.nexus.heal()
	v.endsDestroyed()
}

// Without any Nexus, nobody acknowledges an end: it is shown until somebody
// unregisters the VMM (N).
func TestStandalone(t *testing.T) {
	l := newSled(t, setup{standalone: true})
	v := l.register()
	v.run()
	v.observed("Running")
	v.lies("hang-stop")
	s := v.stop(grace)
	v.removedOnTime(s)
	trial.Until(t, trial.Patience, func() string {
		if got := record(t, v.state().wants(t, http.StatusOK).body); got.VMM.State != vmm.WireDestroyed {
			return fmt.Sprintf("the state is %v", got)
		}
		return ""
	})
	v.gone()
	if got := v.unregister(); got == nil || got.VMM.State != vmm.WireDestroyed {
		t.Errorf("unregister was answered with %v", got)
	}
	v.forgotten()
}

// Nexus has forgotten the VMM: the agent gives up after a few tries, and the zone
// is removed all the same.
func TestNexusKnowsNoSuchVMM(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"404", "410"} {
		t.Run(status, func(t *testing.T) {
			l := newSled(t, setup{})
			v := l.launch()
			v.lies("stay-stopping")
			l.nexus.fault("status=" + status)
			s := v.stop(grace)
			v.removedOnTime(s)
			v.forgotten()
			if row, _ := l.nexus.Row(v.id); row.Puts > 100 {
				t.Errorf("Nexus was told %d times", row.Puts)
			}
		})
	}
}

// From its registration until Nexus has acknowledged its end, a VMM is never
// disowned (N).
func TestNeverDisownedEarly(t *testing.T) {
	l := newSled(t, setup{})
	v := l.register()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { v.pollUntilDisowned(ctx) })
	}
	v.run()
	v.observed("Running")
	l.nexus.fault("fail-percent=50", "delay=20ms")
	v.lies("stay-stopped")
	s := v.stop(grace)
	v.removedOnTime(s)
	l.nexus.fault("status=503")
	pace(300*time.Millisecond, 10*time.Millisecond, func() bool { return true })
	l.nexus.fault("delay=100ms")
	v.endsDestroyed()
	cancel()
	wg.Wait()
}

// pollUntilDisowned reads the state again and again. Every answer must be one of
// success until Nexus has acknowledged the end.
func (v *vm) pollUntilDisowned(ctx context.Context) {
	for ctx.Err() == nil {
		got, err := v.l.ask(ctx, "GET", v.path()+"/state", nil)
		switch row, _ := v.l.nexus.Row(v.id); {
		case err != nil || got.status == http.StatusOK:
		case !acknowledged(row):
			v.t.Errorf("the state was answered with %v and Nexus knows only: %s", got, describe(row))
			return
		default:
			return
		}
		if got.took > stateAnswer {
			v.t.Errorf("the state was answered after %v", got.took)
		}
	}
}

// acknowledged tells whether Nexus has acknowledged the VMM's end.
func acknowledged(row nexussim.Row) bool {
	return row.State().Terminal() && row.Acked >= row.Gen()
}

// An outage while many VMMs stop: all are removed on time, and all ends arrive.
func TestManyStopsWithFailingNexus(t *testing.T) {
	l := newSled(t, setup{})
	vms := l.launchMany(12)
	l.nexus.fault("fail-percent=60")
	stops := stopAll(vms, grace, "stay-stopping")
	for i, v := range vms {
		v.removedOnTime(stops[i])
	}
	for _, v := range vms {
		v.endsDestroyed()
	}
}

// launchMany registers and runs VMMs at the same time.
func (l *sled) launchMany(n int) (vms []*vm) {
	l.t.Helper()
	for range n {
		v := l.register()
		v.run()
		vms = append(vms, v)
	}
	for _, v := range vms {
		v.reaches("running")
	}
	return vms
}

// stopAll makes all servers lie, if there are lies, and then stops all VMMs at the same time.
func stopAll(vms []*vm, grace time.Duration, lies ...string) []stop {
	for _, v := range vms {
		if len(lies) > 0 {
			v.lies(lies...)
		}
	}
	stops := make([]stop, len(vms))
	var wg sync.WaitGroup
	for i, v := range vms {
		wg.Go(func() {
			s := stop{sent: time.Now(), grace: grace}
			got, err := v.l.ask(context.Background(), "PUT", fmt.Sprintf("%s/state?grace=%s", v.path(), grace),
				target2body("stopped"))
			if err != nil || got.status != http.StatusOK {
				v.t.Errorf("a stop: %v, %v", got, err)
			}
			s.answered = time.Now()
			stops[i] = s
		})
	}
	wg.Wait()
	return stops
}
