package kstat

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeBudget bounds a sample for a scrape. It is less than the 10 s that
// Prometheus waits, so that a source that hangs costs its own metrics alone.
const scrapeBudget = 5 * time.Second

// lateness is how much longer a source may take to notice that its budget is spent.
const lateness = time.Second

// metric describes one of the metrics. Their names, labels and the labels'
// values are stable.
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

// NewCollector returns a collector of samples. Scrapes that come at once share
// one. A sample that fails shows as sled_stats_up 0 and no others; failed, if it
// is not nil, is told why, from the goroutine that took the sample.
func NewCollector(source Source, failed func(error)) prometheus.Collector {
	return &collector{source: source, failed: failed}
}

type collector struct {
	source Source
	failed func(error)

	mu     sync.Mutex
	flight *flight // nil unless a sample is under way
}

// A flight is one sample under way. Once done is closed, the rest is set.
type flight struct {
	done   chan struct{}
	sample Sample
	err    error
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range descriptions() {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		if m, err := prometheus.NewConstMetric(d, t, v, labels...); err == nil { // a name that is not UTF-8 is no label
			ch <- m
		}
	}
	sample, err := c.take()
	if err != nil {
		send(up, prometheus.GaugeValue, 0)
		return
	}
	send(up, prometheus.GaugeValue, 1)
	sample.each(send)
}

// take joins the sample that is under way or begins one, and waits for it. One
// that ignores its context is not waited for, nor is a second one begun.
func (c *collector) take() (Sample, error) {
	c.mu.Lock()
	f := c.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		c.flight = f
		go c.fly(f)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.sample, f.err
	case <-time.After(scrapeBudget + lateness):
		return Sample{}, errors.New("the sample is stuck")
	}
}

// fly takes a sample and lets those who wait for it go on, whatever happens.
func (c *collector) fly(f *flight) {
	defer func() {
		if p := recover(); p != nil {
			f.err = fmt.Errorf("sample: panic: %v", p)
		}
		c.mu.Lock()
		c.flight = nil
		c.mu.Unlock()
		close(f.done)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), scrapeBudget)
	defer cancel()
	f.sample, f.err = c.source.Sample(ctx)
	if f.err != nil && c.failed != nil {
		c.failed(f.err)
	}
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

// states names the states as the label's values do, after the kernel's own names.
func (v VCPU) states() map[string]time.Duration {
	return map[string]time.Duration{"init": v.Initial, "run": v.Guest, "idle": v.Idle,
		"emu_kern": v.InKernel, "emu_user": v.InUser, "sched": v.Waiting}
}
