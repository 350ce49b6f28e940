package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/zone/illumos/kstat"
)

// collectors are the metrics of the agent's own machinery; those of the VMMs
// are the admin server's.
func collectors(a *agent.Agent, p *publish.Publisher, z *zones) []prometheus.Collector {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sled_agent_" + name, Help: help}, f)
	}
	counter := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sled_agent_" + name, Help: help}, f)
	}
	all := []prometheus.Collector{
		kstat.NewCollector(z.stats, nil),
		gauge("deadlines_armed", "Deadlines that are armed now.", func() float64 { return float64(a.Watchdog().Armed) }),
		gauge("removals", "Zone removals under way.", func() float64 { return float64(a.Watchdog().Removing) }),
		counter("deadlines_fired_total", "Deadlines that have passed.", func() float64 { return float64(a.Watchdog().Fired) }),
		gauge("deadline_lateness_max_seconds", "How late the latest deadline was noticed.",
			func() float64 { return a.Watchdog().Latest.Seconds() }),
		gauge("calls_abandoned", "Calls on zones that are stuck past their budget.", func() float64 { return float64(a.Abandoned()) }),
		gauge("orphan_zones", "Zones with the agent's prefix that belong to no VMM.", func() float64 { return float64(a.Orphans()) }),
		counter("publish_acked_total", "Records that Nexus has acknowledged.", func() float64 { return float64(p.Stats().Acked) }),
		counter("publish_retried_total", "Tries to publish that have failed.", func() float64 { return float64(p.Stats().Retried) }),
		counter("publish_gave_up_total", "Records that were never acknowledged.", func() float64 { return float64(p.Stats().GaveUp) }),
		gauge("publish_in_flight", "PUTs to Nexus under way.", func() float64 { return float64(p.Stats().InFlight) }),
		gauge("publish_waiting", "Records that wait to be published.", func() float64 { return float64(p.Stats().Waiting) }),
	}
	if z.leftBehind != nil {
		all = append(all, gauge("commands_left_behind", "Commands of the host that have outlived their budgets and not ended.",
			func() float64 { return float64(z.leftBehind()) }))
	}
	return all
}
