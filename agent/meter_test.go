package agent_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone/zonetest"
)

const endedMetrics = `
# HELP sled_agent_vmms_ended_total VMMs that have ended, by outcome, by who asked for that, and by whether they were ended by force.
# TYPE sled_agent_vmms_ended_total counter
sled_agent_vmms_ended_total{asked_by="guest",forced="false",outcome="destroyed"} 0
sled_agent_vmms_ended_total{asked_by="guest",forced="true",outcome="destroyed"} 0
sled_agent_vmms_ended_total{asked_by="nexus",forced="false",outcome="destroyed"} 1
sled_agent_vmms_ended_total{asked_by="nexus",forced="true",outcome="destroyed"} 1
sled_agent_vmms_ended_total{asked_by="nobody",forced="false",outcome="failed"} 1
sled_agent_vmms_ended_total{asked_by="operator",forced="false",outcome="destroyed"} 0
sled_agent_vmms_ended_total{asked_by="operator",forced="true",outcome="destroyed"} 1
`

// What became of VMMs is counted, and how long it took is timed.
func TestMeter(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		obedient, deaf, killed, crashed := r.start(), r.start(), r.start(), r.start()
		r.stop(obedient, d(time.Minute))
		r.await(obedient, vmm.WireDestroyed)
		r.fault(deaf, "hang-all")
		r.stop(deaf, d(time.Minute))
		r.zones.SetFault(deaf.zone, zonetest.Halt, zonetest.Fault{Delay: 3 * time.Second})
		if _, err := r.Kill(caller.With(t.Context(), vmm.Operator("alice")), killed.id); err != nil {
			t.Fatal(err)
		}
		r.zones.Die(crashed.zone)
		pass(2 * time.Minute)
		if err := testutil.CollectAndCompare(r.Meter(), strings.NewReader(endedMetrics), "sled_agent_vmms_ended_total"); err != nil {
			t.Error(err)
		}
		problems, err := testutil.CollectAndLint(r.Meter())
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
		for name, want := range map[string]struct {
			count    uint64
			min, max float64
		}{
			"deadline_lateness_seconds": {1, 0, 0},
			"stop_grace_used_seconds":   {3, 60, 61},
			"removal_duration_seconds":  {4, 3, 4},
			"publish_delay_seconds":     {4, 0, 1}, // the ends; earlier changes may be overtaken
		} {
			count, sum := histogram(t, r.Meter(), "sled_agent_"+name)
			if count < want.count || sum < want.min || sum > want.max {
				t.Errorf("%s: %d observations, sum %g; want %+v", name, count, sum, want)
			}
		}
	})
}

// histogram returns the number and the sum of the observations of a histogram.
func histogram(t *testing.T, c prometheus.Collector, name string) (count uint64, sum float64) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			h := f.Metric[0].GetHistogram()
			return h.GetSampleCount(), h.GetSampleSum()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0, 0
}
