package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// outages are the kinds of failures of Nexus, by nexussim's names.
var outages = map[string]string{
	"refuses connections":  "refuse",
	"is silent":            "silent",
	"answers 500":          "status=500",
	"answers 503":          "status=503",
	"answers 400":          "status=400",
	"answers 404":          "status=404",
	"answers 410":          "status=410",
	"answers 200":          "status=200",
	"redirects":            "status=307",
	"answers rubbish":      "garbage",
	"resets connections":   "reset",
	"loses its answers":    "lost-answer",
	"sends half an answer": "half",
	"takes its time":       "delay=1h",
}

// Failures of Nexus delay no removal, and afterwards Nexus receives what happened meanwhile (D, T). A
// program at its address may deny the VMM, such as an ingress during a roll-out or a lagging replica:
// the VMM's end is kept until Nexus has it, and until then the VMM is not denied (N).
func TestStopWithoutNexus(t *testing.T) {
	t.Parallel()
	for name, fault := range outages {
		t.Run(name, func(t *testing.T) {
			// A record whose request was canceled may be processed after the next one. This timeout
			// matters only for a Nexus that is configured to be silent.
			h := newHarness(t, setup{nexusPort: fault == "refuse", nexus: section{"request_timeout": "5s"}})
			v := faults("stay-stopping").launch(h)
			h.nexus.setFaults(fault)
			v.removedAtDeadline(v.stop(grace))
			v.event("terminal")
			v.gone()
			if strings.HasPrefix(fault, "status=4") {
				waitFor(t, func() string {
					if row, _ := h.nexus.Row(v.id); row.Puts < 8 {
						return fmt.Sprintf("Nexus was told %d times", row.Puts)
					}
					return ""
				})
			}
			v.is(vmm.WireDestroyed)
			h.nexus.setFaults()
			v.endsDestroyed()
		})
	}
}

// The agent works even if Nexus is down from its start on.
func TestLifeWithoutNexus(t *testing.T) {
	h := newHarness(t, setup{nexusPort: true})
	h.nexus.setFaults("refuse")
	v := h.register()
	v.run()
	v.is(vmm.WireRunning)
	v.setFaults("hang-stop")
	v.removedAtDeadline(v.stop(grace))
	v.event("terminal")
	h.nexus.setFaults()
	v.endsDestroyed()
}

// Without a Nexus an end is not acknowledged: it is shown until the VMM is unregistered (N), and
// waits for nobody.
func TestStandalone(t *testing.T) {
	h := newHarness(t, setup{standalone: true})
	v := faults("hang-stop").launch(h)
	v.removedAtDeadline(v.stop(grace))
	v.is(vmm.WireDestroyed)
	v.gone()
	if s := v.status(); s.WaitsFor != "" || s.Publish != nil {
		t.Errorf("waits for %q, %+v", s.WaitsFor, s.Publish)
	}
	if got := v.unregister(); got == nil || got.VMM.State != vmm.WireDestroyed {
		t.Errorf("unregister was answered with %v", got)
	}
	v.forgotten()
}

// From its registration until Nexus has acknowledged its end, a VMM is never denied (N).
func TestNeverDeniedEarly(t *testing.T) {
	h := newHarness(t, setup{})
	v := h.register()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { v.pollUntilDenied(ctx) })
	}
	v.run()
	v.observed("Running")
	h.nexus.setFaults("fail-percent=50", "delay=20ms")
	v.setFaults("stay-stopped")
	v.removedAtDeadline(v.stop(grace))
	h.nexus.setFaults("status=503")
	pause(300 * time.Millisecond)
	h.nexus.setFaults("delay=100ms")
	v.endsDestroyed()
	cancel()
	wg.Wait()
}

// pollUntilDenied reads the state repeatedly. Every read must succeed until Nexus has acknowledged the
// end.
func (v *vm) pollUntilDenied(ctx context.Context) {
	for ctx.Err() == nil {
		got, err := v.ask(ctx, "GET", v.path()+"/state", nil)
		switch row, _ := v.nexus.Row(v.id); {
		case err != nil || got.status == http.StatusOK:
		case !ended(row):
			v.t.Errorf("the state was answered with %v and Nexus knows only: %s", got, describe(row))
			return
		default:
			return
		}
	}
}
