package e2e

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Twenty concurrent stops all succeed and count as one. None of them moves an earlier deadline back.
func TestConcurrentStops(t *testing.T) {
	h := sharedHarness(t)
	for name, c := range map[string]struct {
		first   bool // There is an earlier one.
		queries []string
	}{
		"the first ones": {false, []string{"grace=" + longer.String()}},
		"later ones":     {true, []string{"", "grace=1m", "grace=" + never.String()}},
	} {
		t.Run(name, func(t *testing.T) {
			v := faults("ignore-stop").launch(h.in(t))
			s := stop{sent: time.Now(), grace: longer}
			if c.first {
				s = v.stop(longer)
			}
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					got, err := v.ask(bounded(t), "PUT", v.path()+"/state?"+c.queries[i%len(c.queries)], stateBody("stopped"))
					if err != nil || got.status != 200 {
						t.Errorf("one of the stops: %v, %v", got, err)
					}
				})
			}
			wg.Wait()
			v.removedAtDeadline(s)
			v.endsDestroyed()
		})
	}
}

func TestRepeatedStopShortens(t *testing.T) {
	v := faults("ignore-stop").launch(sharedHarness(t))
	v.stop(never)
	v.event("asked")
	v.stopsAtDeadline(grace)
}

func TestRepeatedStopNeverExtends(t *testing.T) {
	v := faults("ignore-stop").launch(sharedHarness(t))
	s := v.stop(longer)
	v.stop(never)
	v.event("asked")
	v.stop(longer)
	v.putState("stopped", "").wants(t, 200)
	v.removedAtDeadline(s)
	v.endsDestroyed()
}

// A VMM that has ended, but not yet for Nexus, keeps its end however often it is stopped.
func TestStopAfterTheEnd(t *testing.T) {
	t.Parallel()
	for state, end := range map[vmm.WireState]func(*vm){
		vmm.WireDestroyed: func(v *vm) { v.stop(0) },
		vmm.WireFailed:    func(v *vm) { v.do("crash") },
	} {
		t.Run(string(state), func(t *testing.T) {
			h := newHarness(t, setup{})
			v := h.launch()
			h.nexus.setFaults("status=503")
			end(v)
			v.is(state)
			for range 3 {
				got := v.putState("stopped", "grace=1s").wants(t, 200).updated(t)
				if got == nil || got.VMM.State != state {
					t.Errorf("a stop after the end was answered with %v", got)
				}
			}
			h.nexus.setFaults()
			v.ends(state)
		})
	}
}

// Without grace the removal begins at once, even if Propolis would have stopped.
func TestZeroGrace(t *testing.T) {
	sharedHarness(t).launchWith("flags='--stop-time 1h'").stopsAtDeadline(0)
}

// A grace period beyond the configured maximum is shortened to that. A stop without a grace period gets the
// configured one.
func TestConfiguredGrace(t *testing.T) {
	h := newHarness(t, setup{watchdog: section{"max_stop_grace": "1s", "stop_grace": "1s"}})
	for _, asked := range []string{"", "1h", "2s", "2562047h47m16.854775807s"} {
		t.Run(asked, func(t *testing.T) {
			v := faults("ignore-stop").launch(h.in(t))
			s := stop{sent: time.Now(), grace: time.Second}
			query := ""
			if asked != "" {
				query = "grace=" + url.QueryEscape(asked)
			}
			v.putState("stopped", query).wants(t, http.StatusOK)
			v.removedAtDeadline(s)
			v.endsDestroyed()
		})
	}
}

// An invalid grace changes nothing: the VM keeps running.
func TestBadGraceChangesNothing(t *testing.T) {
	v := sharedHarness(t).launch()
	before := v.record()
	for _, query := range []string{"grace=", "grace=-1s", "grace=-1ns", "grace=10", "grace=ten", "grace=1d", "grace=NaN",
		"grace=9223372036854775808ns", "grace=2562048h", "grace=1e9s", "grace=1s&grace=2s", "grace=%zz", "grace=1s;",
		"grace=%00", "grace=5s%20", "grace=+5s%0a", "grace=0x10s", "grace=9999999999999999999999999999h"} {
		if got := v.putState("stopped", query); got.status != 400 {
			t.Errorf("%s: got %v, want status 400", query, got)
		}
	}
	after := v.record()
	if before != after || after.VMM.State != vmm.WireRunning {
		t.Errorf("the VM was %v and is %v", before, after)
	}
	if n := v.count("stop"); n != 0 || v.calls()["stop"] != 0 {
		t.Errorf("there were %d stops, and Propolis received %d", n, v.calls()["stop"])
	}
	v.stopAndEnd()
}
