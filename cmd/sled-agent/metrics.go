package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/evidence"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/logging"
	"github.com/sledagent/sledagent/zone/stats"
)

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sled_agent_" + name, Help: help}, f)
}

func counter(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sled_agent_" + name, Help: help}, f)
}

// collectors returns the metrics of the agent itself; the admin server adds those of
// the VMMs.
func collectors(a *agent.Agent, n *publish.Client, z *zones, b *bundle.Store, e *evidence.Store, log *logging.Log, t *troubles) []prometheus.Collector {
	all := []prometheus.Collector{
		a.Meter(),
		stats.NewCollector(z.stats),
		gauge("deadlines_armed", "Deadlines that are armed now.", func() float64 { return float64(a.Watchdog().Armed) }),
		gauge("removals", "Zone removals under way.", func() float64 { return float64(a.Watchdog().Removing) }),
		counter("deadlines_fired_total", "Deadlines that have passed.", func() float64 { return float64(a.Watchdog().Fired) }),
		gauge("deadline_lateness_max_seconds", "How late the latest deadline was noticed.",
			func() float64 { return a.Watchdog().Latest.Seconds() }),
		gauge("calls_abandoned", "Calls on zones that are stuck past their budget.", func() float64 { return float64(a.Abandoned()) }),
		gauge("evacuating", "1 while this sled takes no new VMMs, since it is drained or evacuated; else 0.",
			func() float64 {
				if a.Disposition().Disposition == disposition.Evacuating {
					return 1
				}
				return 0
			}),
		counter("ports_failed_total", "Tries to set up a guest's port that have failed.", func() float64 { return float64(a.PortsFailed()) }),
		gauge("orphan_zones", "Zones with the agent's prefix that belong to no VMM.", func() float64 { return float64(a.Orphans()) }),
		counter("publish_acked_total", "Records that Nexus has acknowledged.", func() float64 { return float64(n.Stats().Acked) }),
		counter("publish_retried_total", "PUTs to Nexus that were not answered, or not by Nexus.", func() float64 { return float64(n.Stats().CannotTell) }),
		counter("publish_refused_total", "PUTs that Nexus has refused, or of a VMM that it does not know.",
			func() float64 { return float64(n.Stats().Refused + n.Stats().Unknown) }),
		counter("publish_gave_up_total", "Terminal records that were never acknowledged.", func() float64 { return float64(a.GaveUp()) }),
		gauge("publish_in_flight", "PUTs to Nexus under way.", func() float64 { return float64(n.Stats().InFlight) }),
		gauge("publish_queued", "Records that wait for a place to be published.", func() float64 { return float64(n.Stats().Waiting) }),
		gauge("publish_waiting", "Deprecated: the same as sled_agent_publish_queued.", func() float64 { return float64(n.Stats().Waiting) }),
		counter("unsure_total", "Questions whether a zone or a Propolis is there that could not be answered.",
			func() float64 { return float64(a.Unsure()) }),
		counter("zone_bundles_lost_total", "Zone bundles that could not be made.", func() float64 { return float64(b.Lost()) }),
		counter("evidence_incomplete_total", "Collections of evidence before a deadline that were not made, or not completely.",
			func() float64 { return float64(e.Incomplete()) }),
		counter("log_lines_dropped_total", "Log lines that were not written anywhere.", func() float64 { return float64(log.Counts().Dropped) }),
		counter("log_lines_diverted_total", "Log lines that went to the file in the state directory, as standard error took none.",
			func() float64 { return float64(log.Counts().Diverted) }),
		gauge("parts_failing", "Parts of the agent that have failed and are tried again, such as listeners.",
			func() float64 { return float64(len(t.all())) }),
	}
	if z.leftBehind != nil {
		all = append(all, gauge("commands_left_behind", "Commands of the host that have outlived their budgets and not ended.",
			func() float64 { return float64(z.leftBehind()) }))
	}
	return all
}
