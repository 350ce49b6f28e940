package meter

import (
	"cmp"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sledagent/sledagent/agent/vmm"
)

var (
	// lateBuckets are around the second that promise D allows.
	lateBuckets = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}
	// stepBuckets reach from a signal to the longest budget of a step.
	stepBuckets = []float64{.001, .01, .05, .25, 1, 5, 15, 30, 60, 120, 300, 1800}
	// graceBuckets reach to an hour; the default grace is ten minutes.
	graceBuckets = []float64{.1, .5, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600}
	// delayBuckets reach to an outage of a day.
	delayBuckets = []float64{.005, .01, .025, .1, .25, 1, 5, 30, 300, 3600, 86400}
)

// nobody is the label of an end that was not requested.
const nobody = "nobody"

// A Meter is a prometheus.Collector. Its methods are safe for concurrent use and return
// at once.
type Meter struct {
	ended                           *prometheus.CounterVec
	late, grace, removal, published prometheus.Histogram
	steps                           *prometheus.HistogramVec
}

// New returns a Meter.
func New() *Meter {
	m := &Meter{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sled_agent_vmms_ended_total",
			Help: "VMMs that have ended, by outcome, by who asked for that, and by whether they were ended by force."},
			[]string{"outcome", "asked_by", "forced"}),
		late:    histogram("deadline_lateness_seconds", "How late deadlines were noticed.", lateBuckets),
		grace:   histogram("stop_grace_used_seconds", "Time from an accepted stop to the beginning of the removal.", graceBuckets),
		removal: histogram("removal_duration_seconds", "Time from the beginning of a removal until the zone was verified gone.", stepBuckets),
		published: histogram("publish_delay_seconds", "Time from a change of a VMM's record until Nexus has acknowledged it.",
			delayBuckets),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sled_agent_removal_step_duration_seconds",
			Help: "Time that one try of a step of a removal took, by step.", Buckets: stepBuckets}, []string{"rung"}),
	}
	// A counter that begins with its first event has no rate at that event.
	for _, by := range []vmm.Who{vmm.ByNexus, vmm.ByOperator, vmm.ByGuest} {
		for _, forced := range []bool{false, true} {
			m.end(vmm.Destroyed, by, forced)
		}
	}
	m.end(vmm.Failed, "", false)
	return m
}

func histogram(name, help string, buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "sled_agent_" + name, Help: help, Buckets: buckets})
}

// end returns the counter of such ends.
func (m *Meter) end(o vmm.Outcome, by vmm.Who, forced bool) prometheus.Counter {
	return m.ended.WithLabelValues(o.String(), cmp.Or(string(by.Kind()), nobody), strconv.FormatBool(forced))
}

// Ended counts the end of a VMM. by is empty if it was not requested.
func (m *Meter) Ended(o vmm.Outcome, by vmm.Who, forced bool) { m.end(o, by, forced).Inc() }

// Late records how late a deadline was noticed.
func (m *Meter) Late(d time.Duration) { observe(m.late, d) }

// GraceUsed records the time from a stop to the beginning of the removal.
func (m *Meter) GraceUsed(d time.Duration) { observe(m.grace, d) }

// Step records one try of a step of a removal. The rung is one of package zone's.
func (m *Meter) Step(rung string, d time.Duration) { observe(m.steps.WithLabelValues(rung), d) }

// Removed records a whole removal.
func (m *Meter) Removed(d time.Duration) { observe(m.removal, d) }

// Published records the time from a record to its acknowledgement.
func (m *Meter) Published(d time.Duration) { observe(m.published, d) }

// observe records a duration. One that is negative, since the clock was set, counts as 0.
func observe(h prometheus.Observer, d time.Duration) { h.Observe(max(d, 0).Seconds()) }

// Describe implements prometheus.Collector.
func (m *Meter) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.all() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Meter) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.all() {
		c.Collect(ch)
	}
}

func (m *Meter) all() []prometheus.Collector {
	return []prometheus.Collector{m.ended, m.late, m.grace, m.removal, m.published, m.steps}
}
