package admin

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/conns"
)

const (
	// maxScrapes is the number of concurrent scrapes.
	maxScrapes = 4
	// scrapeBudget bounds one scrape; it equals Prometheus's default.
	scrapeBudget = 10 * time.Second
)

// metricsHandler uses a registry of its own, so that several agents in one process, as
// in tests, do not conflict.
func metricsHandler(agent Agent, options Options) http.Handler {
	registry := prometheus.NewRegistry()
	all := append([]prometheus.Collector{
		NewCollector(agent),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, options.Collectors...)
	for _, c := range all {
		if err := registry.Register(guarded{c}); err != nil {
			options.Log.Error().Err(err).Msg("failed to collect a metric")
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            conns.ErrorLog(options.Log, "metrics"),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeBudget,
	})
}

// guarded turns a collector's panic into a failed metric. The registry collects in
// goroutines of its own, in which a panic would end the agent.
type guarded struct{ prometheus.Collector }

func (g guarded) Collect(ch chan<- prometheus.Metric) {
	defer func() {
		if p := recover(); p != nil {
			err := fmt.Errorf("a collector panicked: %v", p)
			ch <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		}
	}()
	g.Collector.Collect(ch)
}

// A gauge is one number over all VMMs: the sum or the maximum of a value per VMM.
type gauge struct {
	desc *prometheus.Desc
	of   func(s vmm.Status, now time.Time) float64
	join func(a, b float64) float64
}

// count returns a gauge of how many VMMs satisfy a condition.
func count(name, help string, is func(vmm.Status, time.Time) bool) gauge {
	return gauge{describe(name, help), func(s vmm.Status, now time.Time) float64 {
		if is(s, now) {
			return 1
		}
		return 0
	}, func(a, b float64) float64 { return a + b }}
}

// oldest returns a gauge of the greatest age in seconds. It is never negative, even if
// the wall clock was stepped back.
func oldest(name, help string, is func(vmm.Status) bool, since func(vmm.Status) time.Time) gauge {
	return gauge{describe(name, help), func(s vmm.Status, now time.Time) float64 {
		if is(s) {
			return now.Sub(since(s)).Seconds()
		}
		return 0
	}, math.Max}
}

// collector computes its metrics from the VMMs' Status on each scrape, so that they
// agree with what sledctl shows.
type collector struct {
	agent                  Agent
	info, started          *prometheus.Desc
	phases, states, ladder *prometheus.Desc
	gauges                 []gauge
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("sled_agent", "", name), help, labels, nil)
}

// NewCollector returns the metrics computed from the agent's VMMs. It is safe for
// concurrent use.
func NewCollector(agent Agent) prometheus.Collector {
	return &collector{
		agent:   agent,
		info:    describe("info", "Which agent this is; always 1.", "version", "sled_id", "backend", "isolation"),
		started: describe("start_time_seconds", "When the agent started, in seconds since the epoch."),
		phases:  describe("vmms", "VMMs by the agent's phase.", "phase"),
		states:  describe("vmms_by_state", "VMMs by their state on the wire.", "state"),
		ladder:  describe("removals_by_rung", "Removals under way by the step that was tried last.", "rung"),
		gauges: []gauge{
			count("vmms_in_trouble", "VMMs that sledctl vmm list --unhealthy would show.",
				func(s vmm.Status, now time.Time) bool { return len(Troubles(s, now)) > 0 }),
			count("vmms_past_deadline", "VMMs whose deadline passed without a forced removal having begun.", Overdue),
			count("vmms_degraded", "VMMs for which a promise of the agent's is weakened.",
				func(s vmm.Status, _ time.Time) bool { return s.Degraded != "" }),
			count("stops_pending", "VMMs with an accepted stop that have not ended.",
				func(s vmm.Status, _ time.Time) bool { return stopping(s) }),
			oldest("oldest_stop_age_seconds", "Age of the oldest stop that is pending; 0 without one.",
				stopping, func(s vmm.Status) time.Time { return s.Stop.Requested }),
			count("removals_pending", "VMMs whose zone is being removed.",
				func(s vmm.Status, _ time.Time) bool { return removing(s) }),
			count("removals_retried", "Removals under way of which the last step failed before.",
				func(s vmm.Status, _ time.Time) bool {
					return removing(s) && (s.Removal.Attempt > 1 || s.Removal.LastError != "")
				}),
			oldest("oldest_removal_age_seconds", "Age of the oldest removal under way; 0 without one.",
				removing, func(s vmm.Status) time.Time { return s.Removal.Begun }),
			count("publishes_waiting", "VMMs of which Nexus has not acknowledged the newest state.",
				func(s vmm.Status, _ time.Time) bool { return Unpublished(s) }),
			count("vmms_unsure", "VMMs for which it is unknown whether their zone or their Propolis exists.",
				func(s vmm.Status, _ time.Time) bool { return len(s.Unsure) > 0 }),
			count("ports_failing", "VMMs whose networking could not be set up on the host; that is tried again.",
				func(s vmm.Status, _ time.Time) bool { return s.Network != nil && s.Network.Trouble != nil }),
			count("propolis_silent", "VMMs whose Propolis does not answer.",
				func(s vmm.Status, _ time.Time) bool { return s.Propolis != nil && s.Propolis.SilentSince != nil }),
		},
	}
}

func stopping(s vmm.Status) bool { return s.Stop != nil && !s.Record.VMM.State.Terminal() }

func removing(s vmm.Status) bool { return s.Removal != nil && s.Removal.Gone == nil }

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.info, c.started, c.phases, c.states, c.ladder} {
		ch <- d
	}
	for _, g := range c.gauges {
		ch <- g.desc
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	about, all, now := c.agent.About(), c.agent.List(), time.Now()
	constant := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	constant(c.info, 1, about.Version, about.SledID, about.Backend, about.Isolation)
	constant(c.started, float64(about.Started.UnixNano())/float64(time.Second))
	states := map[string]int{}
	for _, s := range vmm.WireStates() {
		states[string(s)] = 0 // alerts need a 0 for states without VMMs
	}
	phases, rungs := map[string]int{}, map[string]int{}
	for _, s := range all {
		phases[s.Phase]++
		states[string(s.Record.VMM.State)]++
		if removing(s) {
			rungs[s.Removal.Rung]++
		}
	}
	for desc, tally := range map[*prometheus.Desc]map[string]int{c.phases: phases, c.states: states, c.ladder: rungs} {
		for label, n := range tally {
			constant(desc, float64(n), label)
		}
	}
	for _, g := range c.gauges {
		total := 0.0
		for _, s := range all {
			total = g.join(total, g.of(s, now))
		}
		constant(g.desc, total)
	}
}
