package admin

import (
	"fmt"
	stdlog "log"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sledagent/sledagent/agent/vmm"
)

const (
	// maxScrapes is how many scrapes may be under way at a time.
	maxScrapes = 4
	// scrapeBudget bounds one scrape; Prometheus's own default is as long.
	scrapeBudget = 10 * time.Second
)

// metricsHandler serves a registry of its own, so that two agents in one
// process, as in tests, do not meet in the global one.
func metricsHandler(agent Agent, options Options) http.Handler {
	registry := prometheus.NewRegistry()
	all := append([]prometheus.Collector{
		NewCollector(agent),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}, options.Collectors...)
	for _, c := range all {
		if err := registry.Register(guarded{c}); err != nil {
			options.Log.Error().Err(err).Msg("a metric is left out")
		}
	}
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            stdlog.New(options.Log, "", 0),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeBudget,
	})
}

// guarded turns a collector's panic into a failed metric. The registry collects
// in goroutines of its own, where a panic would end the agent.
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

// gauge is a metric that is one number over all VMMs.
type gauge struct {
	desc *prometheus.Desc
	of   func(all []vmm.Status, now time.Time) float64
}

// collector computes its metrics from the VMMs' Status when it is asked, so
// that they can never disagree with what sledctl shows.
type collector struct {
	agent                  Agent
	info, started          *prometheus.Desc
	phases, states, ladder *prometheus.Desc
	gauges                 []gauge
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName("sled_agent", "", name), help, labels, nil)
}

// NewCollector returns the metrics that follow from the agent's VMMs. It is
// safe for concurrent use.
func NewCollector(agent Agent) prometheus.Collector {
	return &collector{
		agent:   agent,
		info:    describe("info", "Which agent this is; always 1.", "version", "sled_id", "backend", "isolation"),
		started: describe("start_time_seconds", "When the agent started, in seconds since the epoch."),
		phases:  describe("vmms", "VMMs by the agent's phase.", "phase"),
		states:  describe("vmms_by_state", "VMMs by their state on the wire.", "state"),
		ladder:  describe("removals_by_rung", "Removals under way by the step that was tried last.", "rung"),
		gauges: []gauge{
			{describe("vmms_in_trouble", "VMMs that sledctl vmm list --unhealthy would show."), inTrouble},
			{describe("vmms_past_deadline", "VMMs whose deadline passed without a forced removal having begun."), count(Overdue)},
			{describe("vmms_degraded", "VMMs for which a promise of the agent's is weakened."), count(degraded)},
			{describe("stops_pending", "VMMs that were told to stop and have not ended."), count(stopPending)},
			{describe("oldest_stop_age_seconds", "Age of the oldest stop that is pending; 0 without one."), oldestStop},
			{describe("removals_pending", "VMMs whose zone is being removed."), count(removalPending)},
			{describe("removals_retried", "Removals under way of which the last step failed before."), count(removalRetried)},
			{describe("oldest_removal_age_seconds", "Age of the oldest removal under way; 0 without one."), oldestRemoval},
			{describe("publishes_waiting", "VMMs of which Nexus has not acknowledged the newest state."), count(waitsForNexus)},
			{describe("propolis_silent", "VMMs whose Propolis does not answer."), count(propolisSilent)},
		},
	}
}

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
		states[string(s)] = 0 // a state without VMMs is 0, not missing: alerts need it
	}
	phases, rungs := map[string]int{}, map[string]int{}
	for _, s := range all {
		phases[s.Phase]++
		states[string(s.Record.VMM.State)]++
		if removalPending(s, now) {
			rungs[s.Removal.Rung]++
		}
	}
	for desc, tally := range map[*prometheus.Desc]map[string]int{c.phases: phases, c.states: states, c.ladder: rungs} {
		for label, n := range tally {
			constant(desc, float64(n), label)
		}
	}
	for _, g := range c.gauges {
		constant(g.desc, g.of(all, now))
	}
}

func count(is func(vmm.Status, time.Time) bool) func([]vmm.Status, time.Time) float64 {
	return func(all []vmm.Status, now time.Time) float64 {
		n := 0
		for _, s := range all {
			if is(s, now) {
				n++
			}
		}
		return float64(n)
	}
}

func inTrouble(all []vmm.Status, now time.Time) float64 {
	return count(func(s vmm.Status, now time.Time) bool { return len(Troubles(s, now)) > 0 })(all, now)
}

func degraded(s vmm.Status, _ time.Time) bool { return s.Degraded != "" }

func stopPending(s vmm.Status, _ time.Time) bool {
	return s.Stop != nil && !s.Record.VMM.State.Terminal()
}

func removalPending(s vmm.Status, _ time.Time) bool { return s.Removal != nil && s.Removal.Gone == nil }

func removalRetried(s vmm.Status, now time.Time) bool {
	return removalPending(s, now) && (s.Removal.Attempt > 1 || s.Removal.LastError != "")
}

func waitsForNexus(s vmm.Status, _ time.Time) bool { return Unpublished(s) }

func propolisSilent(s vmm.Status, _ time.Time) bool {
	return s.Propolis != nil && s.Propolis.SilentSince != nil
}

func oldestStop(all []vmm.Status, now time.Time) float64 {
	return oldest(all, now, func(s vmm.Status) (time.Time, bool) {
		if !stopPending(s, now) {
			return time.Time{}, false
		}
		return s.Stop.Requested, true
	})
}

func oldestRemoval(all []vmm.Status, now time.Time) float64 {
	return oldest(all, now, func(s vmm.Status) (time.Time, bool) {
		if !removalPending(s, now) {
			return time.Time{}, false
		}
		return s.Removal.Begun, true
	})
}

// oldest is the greatest age in seconds, never negative: a wall clock that was
// stepped back makes nothing younger than new.
func oldest(all []vmm.Status, now time.Time, since func(vmm.Status) (time.Time, bool)) float64 {
	var age time.Duration
	for _, s := range all {
		if at, is := since(s); is {
			age = max(age, now.Sub(at))
		}
	}
	return age.Seconds()
}
