package summary_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/summary"
)

var now = time.Date(2026, 8, 21, 22, 35, 53, 0, time.UTC)

func vmmOf(state vmm.WireState, gen, acked uint64, age time.Duration) vmm.Status {
	return vmm.Status{Record: vmm.Record{VMM: vmm.Runtime{State: state, Gen: gen, Updated: now.Add(-age)}},
		Publish: &vmm.PublishStatus{Gen: gen, Acked: acked}}
}

func TestNexus(t *testing.T) {
	t.Parallel()
	two := admin.About{Nexus: []string{"http://[fd00::3]:12221", "http://[fd00::4]:12221"}}
	metrics := func(replicas, avoided float64) map[string]float64 {
		return map[string]float64{"sled_agent_nexus_replicas": replicas, "sled_agent_nexus_replicas_avoided": avoided,
			"sled_agent_publish_refused_total": 21, "sled_agent_publish_gave_up_total": 2}
	}
	oldest := now.Add(-time.Hour)
	all := []vmm.Status{vmmOf(vmm.WireRunning, 7, 7, 2*time.Hour), vmmOf(vmm.WireStopping, 9, 8, time.Minute), vmmOf(vmm.WireDestroyed, 5, 4, time.Hour)}
	for _, c := range []struct {
		name    string
		about   admin.About
		metrics map[string]float64
		want    summary.Nexus
		trouble []string
	}{
		{"all answer", two, metrics(2, 0), summary.Nexus{Replicas: 2, Refused: 21, GaveUp: 2}, nil},
		{"one is silent", two, metrics(2, 1), summary.Nexus{Replicas: 2, Silent: 1, Refused: 21, GaveUp: 2}, nil},
		{"none answers", two, metrics(2, 2), summary.Nexus{Replicas: 2, Silent: 2, Refused: 21, GaveUp: 2}, []string{"Nexus: none of 2 replicas answers"}},
		{"not found", admin.About{NexusDNS: []string{"[fd00::1]:53"}}, metrics(0, 0), summary.Nexus{Refused: 21, GaveUp: 2}, []string{"Nexus: no replica is known"}},
		{"without such metrics", two, nil, summary.Nexus{Replicas: 2}, nil},
		{"standalone", admin.About{}, nil, summary.Nexus{}, nil},
	} {
		c.want.Waiting, c.want.Since = 2, &oldest
		got := summary.Of(c.about, disposition.Status{}, all, c.metrics, now)
		if diff := cmp.Diff(c.want, got.Nexus); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if !slices.Equal(got.Troubles, c.trouble) || got.Well != (c.trouble == nil) {
			t.Errorf("%s: well %t, %q", c.name, got.Well, got.Troubles)
		}
	}
}

func TestVMMs(t *testing.T) {
	t.Parallel()
	unwell := vmmOf(vmm.WireFailed, 3, 3, 0)
	unwell.Hostname, unwell.Reason, unwell.Degraded = "db-1", "its server ended", "not on disk"
	got := summary.Of(admin.About{Troubles: []string{"address in use"}}, disposition.Status{}, []vmm.Status{vmmOf(vmm.WireRunning, 7, 7, 0), unwell},
		map[string]float64{"sled_agent_orphan_zones": 2}, now)
	want := summary.Summary{
		Agent: admin.About{Troubles: []string{"address in use"}}, VMMs: map[vmm.WireState]int{vmm.WireRunning: 1, vmm.WireFailed: 1}, Degraded: 1, Orphans: 2,
		Troubles: []string{"address in use"},
		Unwell:   []summary.VMM{{Hostname: "db-1", State: vmm.WireFailed, Troubles: []string{"degraded: not on disk", "failed: its server ended"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
