package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

// busySled has at least one VMM for each metric. It is used in bubbles, where time does
// not pass.
func busySled() *admintest.Agent {
	at := func(age time.Duration) *time.Time { t := time.Now().Add(-age); return &t }
	stopping := status(2)
	stopping.Phase, stopping.Record.VMM.State = "stopping", vmm.WireStopping
	stopping.Stop = &vmm.StopStatus{Requested: *at(90 * time.Second)}
	stopping.Propolis = &vmm.PropolisStatus{SilentSince: at(time.Minute)}
	removing := status(3)
	removing.Phase, removing.Record.VMM.State = "removing", vmm.WireStopping
	removing.Stop = &vmm.StopStatus{Requested: *at(30 * time.Second)}
	removing.Removal = &vmm.RemovalStatus{Begun: *at(20 * time.Second), Rung: "halt", Attempt: 3}
	removing.Deadline = at(21 * time.Second) // its removal has begun: not overdue
	late := status(4)
	late.Deadline, late.DeadlineFor, late.Degraded = at(5*time.Second), "start", "for a test"
	late.Network = &vmm.NetworkStatus{Trouble: &vmm.PortsTrouble{Since: *at(time.Minute), LastError: "ioctl failed", Attempts: 2}}
	ended := status(5)
	ended.Phase, ended.Record.VMM.State = "ended", vmm.WireDestroyed
	ended.Stop = &vmm.StopStatus{Requested: *at(time.Hour)} // has ended: not pending
	ended.Removal = &vmm.RemovalStatus{Begun: *at(time.Hour), Rung: "verify", Attempt: 9, Gone: at(time.Minute)}
	ended.Publish = &vmm.PublishStatus{Gen: 4, Acked: 3}
	about := admin.About{Version: "1", SledID: "s", Backend: "process", Isolation: "none", Started: time.Unix(1000, 0)}
	return admintest.New(about, status(1), stopping, removing, late, ended)
}

const busyMetrics = `
# HELP sled_agent_info Which agent this is; always 1.
# TYPE sled_agent_info gauge
sled_agent_info{backend="process",isolation="none",sled_id="s",version="1"} 1
# HELP sled_agent_oldest_removal_age_seconds Age of the oldest removal under way; 0 without one.
# TYPE sled_agent_oldest_removal_age_seconds gauge
sled_agent_oldest_removal_age_seconds 20
# HELP sled_agent_oldest_stop_age_seconds Age of the oldest stop that is pending; 0 without one.
# TYPE sled_agent_oldest_stop_age_seconds gauge
sled_agent_oldest_stop_age_seconds 90
# HELP sled_agent_ports_failing VMMs whose networking could not be set up on the host; that is tried again.
# TYPE sled_agent_ports_failing gauge
sled_agent_ports_failing 1
# HELP sled_agent_propolis_silent VMMs whose Propolis does not answer.
# TYPE sled_agent_propolis_silent gauge
sled_agent_propolis_silent 1
# HELP sled_agent_publishes_waiting VMMs of which Nexus has not acknowledged the newest state.
# TYPE sled_agent_publishes_waiting gauge
sled_agent_publishes_waiting 1
# HELP sled_agent_removals_by_rung Removals under way by the step that was tried last.
# TYPE sled_agent_removals_by_rung gauge
sled_agent_removals_by_rung{rung="halt"} 1
# HELP sled_agent_removals_pending VMMs whose zone is being removed.
# TYPE sled_agent_removals_pending gauge
sled_agent_removals_pending 1
# HELP sled_agent_removals_retried Removals under way of which the last step failed before.
# TYPE sled_agent_removals_retried gauge
sled_agent_removals_retried 1
# HELP sled_agent_start_time_seconds When the agent started, in seconds since the epoch.
# TYPE sled_agent_start_time_seconds gauge
sled_agent_start_time_seconds 1000
# HELP sled_agent_stops_pending VMMs with an accepted stop that have not ended.
# TYPE sled_agent_stops_pending gauge
sled_agent_stops_pending 2
# HELP sled_agent_vmms VMMs by the agent's phase.
# TYPE sled_agent_vmms gauge
sled_agent_vmms{phase="active"} 2
sled_agent_vmms{phase="ended"} 1
sled_agent_vmms{phase="removing"} 1
sled_agent_vmms{phase="stopping"} 1
# HELP sled_agent_vmms_by_state VMMs by their state on the wire.
# TYPE sled_agent_vmms_by_state gauge
sled_agent_vmms_by_state{state="destroyed"} 1
sled_agent_vmms_by_state{state="failed"} 0
sled_agent_vmms_by_state{state="migrating"} 0
sled_agent_vmms_by_state{state="rebooting"} 0
sled_agent_vmms_by_state{state="running"} 2
sled_agent_vmms_by_state{state="starting"} 0
sled_agent_vmms_by_state{state="stopped"} 0
sled_agent_vmms_by_state{state="stopping"} 2
# HELP sled_agent_vmms_degraded VMMs for which a promise of the agent's is weakened.
# TYPE sled_agent_vmms_degraded gauge
sled_agent_vmms_degraded 1
# HELP sled_agent_vmms_in_trouble VMMs that sledctl vmm list --unhealthy would show.
# TYPE sled_agent_vmms_in_trouble gauge
sled_agent_vmms_in_trouble 2
# HELP sled_agent_vmms_past_deadline VMMs whose deadline passed without a forced removal having begun.
# TYPE sled_agent_vmms_past_deadline gauge
sled_agent_vmms_past_deadline 1
# HELP sled_agent_vmms_unsure VMMs for which it is unknown whether their zone or their Propolis exists.
# TYPE sled_agent_vmms_unsure gauge
sled_agent_vmms_unsure 0
`

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := admin.NewCollector(busySled())
		if err := testutil.CollectAndCompare(c, strings.NewReader(busyMetrics)); err != nil {
			t.Error(err)
		}
		problems, err := testutil.CollectAndLint(c)
		if err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	})
}

type panicking struct{ prometheus.Collector }

func (panicking) Collect(chan<- prometheus.Metric) { panic("for a test") }

func TestExtraCollectorsAndPanics(t *testing.T) {
	t.Parallel()
	gauge := func(name string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "h"})
	}
	s := serve(t, admintest.New(admin.About{}), gauge("extra"), gauge("extra"), panicking{gauge("bad")})
	code, body := s.do("GET", "/metrics", nil)
	for _, want := range []string{"\nextra 0\n", "\nsled_agent_stops_pending 0\n", "\ngo_goroutines "} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d; %q is missing", code, want)
		}
	}
	for _, want := range []string{"failed to collect a metric", "for a test"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("%q is not in the log: %s", want, s.log)
		}
	}
}

// The client reads what the server serves; labels are summed up.
func TestClientReadsMetrics(t *testing.T) {
	t.Parallel()
	failed := status(2)
	failed.Record.VMM.State = vmm.WireFailed
	s := serve(t, admintest.New(admin.About{}, status(1), failed))
	got, err := s.Metrics(t.Context())
	if err != nil || got["sled_agent_vmms_by_state"] != 2 || got["sled_agent_info"] != 1 || got["sled_agent_vmms_in_trouble"] != 1 {
		t.Errorf("%v: %v", err, got)
	}
	if _, ok := got["sled_agent_nexus_replicas"]; ok {
		t.Error("there is a metric that is not served")
	}
}
