package stats

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sledagent/sledagent/internal/flight"
)

// scrapeBudget bounds a sample for a scrape. It is below the 10 s that Prometheus
// waits, so that a source that hangs costs only its own metrics.
const scrapeBudget = 5 * time.Second

// lateness is how much longer a source may take to notice the end of its budget.
const lateness = time.Second

// metric describes one metric. Names, labels and label values are stable.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("sled_"+name, help, labels, nil)
}

var (
	up = metric("stats_up", "Whether the statistics below could be taken: 1 or 0.")

	zoneCPU      = metric("zone_cpu_seconds_total", "Processor time used by a zone since its boot.", "zone")
	zoneWaited   = metric("zone_run_queue_seconds_total", "Time that a zone's threads waited for a CPU since its boot.", "zone")
	zoneResident = metric("zone_resident_bytes", "Memory of a zone's processes.", "zone")
	vcpuSeconds  = metric("vm_vcpu_seconds_total", "Time that a virtual CPU spent in each state.", "vm", "vcpu", "state")
	linkBytes    = metric("link_bytes_total", "Bytes that went over a datalink.", "link", "direction")
	reservoir    = metric("vmm_reservoir_bytes", "Memory kept for guests, by what it is used for.", "kind")
)

func descriptions() []*prometheus.Desc {
	return []*prometheus.Desc{up, zoneCPU, zoneWaited, zoneResident, vcpuSeconds, linkBytes, reservoir}
}

// NewCollector returns a collector of samples. Concurrent scrapes share a sample.
// After a failed sample sled_stats_up is 0 and is the only metric.
func NewCollector(source Source) prometheus.Collector {
	return &collector{samples: flight.Group[Sample]{Do: func() (s Sample, err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("sample: panic: %v", p)
			}
		}()
		ctx, cancel := context.WithTimeout(context.Background(), scrapeBudget)
		defer cancel()
		return source.Sample(ctx)
	}}}
}

type collector struct{ samples flight.Group[Sample] }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions() {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		if m, err := prometheus.NewConstMetric(d, t, v, labels...); err == nil { // fails for a name that is not UTF-8
			ch <- m
		}
	}
	// A sample that ignores its context is not waited for, and no other is begun.
	ctx, cancel := context.WithTimeout(context.Background(), scrapeBudget+lateness)
	defer cancel()
	sample, err := c.samples.Get(ctx)
	if err != nil {
		send(up, prometheus.GaugeValue, 0)
		return
	}
	send(up, prometheus.GaugeValue, 1)
	sample.each(send)
}

// each sends every value of the sample.
func (s Sample) each(send func(*prometheus.Desc, prometheus.ValueType, float64, ...string)) {
	for _, z := range s.Zones {
		send(zoneCPU, prometheus.CounterValue, z.CPU.Seconds(), z.Name)
		if z.Waited != nil {
			send(zoneWaited, prometheus.CounterValue, z.Waited.Seconds(), z.Name)
		}
		if z.Resident != nil {
			send(zoneResident, prometheus.GaugeValue, float64(*z.Resident), z.Name)
		}
	}
	for _, vm := range s.VMs {
		for _, v := range vm.VCPUs {
			for state, d := range v.states() {
				send(vcpuSeconds, prometheus.CounterValue, d.Seconds(), vm.Name, strconv.Itoa(v.ID), state)
			}
		}
	}
	for _, l := range s.Links {
		send(linkBytes, prometheus.CounterValue, float64(l.Received), l.Name, "received")
		send(linkBytes, prometheus.CounterValue, float64(l.Sent), l.Name, "sent")
	}
	if r := s.Reservoir; r != nil {
		for kind, bytes := range map[string]uint64{
			"free": r.Free, "allocated": r.Allocated, "transient": r.Transient, "limit": r.Limit,
		} {
			send(reservoir, prometheus.GaugeValue, float64(bytes), kind)
		}
	}
}

// states returns the times by state. The label values are the kernel's names.
func (v VCPU) states() map[string]time.Duration {
	return map[string]time.Duration{"init": v.Initial, "run": v.Guest, "idle": v.Idle,
		"emu_kern": v.InKernel, "emu_user": v.InUser, "sched": v.Waiting}
}
