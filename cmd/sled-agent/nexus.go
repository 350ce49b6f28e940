package main

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/publish/srv"
	"github.com/sledagent/sledagent/internal/certs"
)

// openNexus creates the client of Nexus and, if Nexus is found by DNS, the resolver.
func (d *daemon) openNexus() {
	cfg, scheme := d.cfg.Nexus, "http"
	o := publish.Config{Addresses: cfg.Addresses, Named: len(cfg.DNS) > 0, RequestTimeout: cfg.RequestTimeout,
		ShunFor: cfg.RetryMax, Log: d.log.Logger}
	if cfg.TLS.On() {
		scheme = "https"
		d.nexusCerts = certs.New(certs.Files{Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, CA: cfg.TLS.CA}, d.log.Logger)
		o.TLS = func(server string) (*tls.Config, error) {
			return d.nexusCerts.Client(cmp.Or(cfg.TLS.ServerName, server))
		}
	}
	d.nexus = publish.New(o)
	if len(cfg.DNS) == 0 {
		return
	}
	d.resolver = srv.New(srv.Options{Servers: cfg.DNS, Log: d.log.Logger,
		Found:  func(all []netip.AddrPort) { d.nexus.SetReplicas(baseURLs(scheme, all)) },
		Report: func(err error) { d.troubles.set("nexus.dns", err) }})
}

// findNexus runs the resolver, if there is one, until the agent ends.
func (d *daemon) findNexus() {
	if d.resolver != nil {
		d.endpoints.Go(func() { d.resolver.Run(d.listening) })
	}
}

func baseURLs(scheme string, addrs []netip.AddrPort) []string {
	bases := make([]string, len(addrs))
	for i, a := range addrs {
		bases[i] = scheme + "://" + a.String()
	}
	return bases
}

// nexusCollectors returns the metrics of the replicas of Nexus. r is nil if they are not found
// by DNS.
func nexusCollectors(n *publish.Client, r *srv.Resolver) []prometheus.Collector {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sled_agent_nexus_" + name, Help: help}, f)
	}
	counter := func(name, help string, f func(srv.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sled_agent_nexus_" + name, Help: help}, func() float64 {
			if r == nil {
				return 0
			}
			return float64(f(r.Stats()))
		})
	}
	return []prometheus.Collector{
		gauge("replicas", "Replicas of Nexus that are known.", func() float64 {
			all, _ := n.Replicas()
			return float64(len(all))
		}),
		gauge("replicas_avoided", "Replicas of Nexus that gave no answer and are avoided while another one answers.", func() float64 {
			_, avoided := n.Replicas()
			return float64(avoided)
		}),
		counter("resolutions_total", "Resolutions of Nexus's name by DNS.", func(s srv.Stats) uint64 { return s.Resolutions }),
		counter("resolutions_failed_total", "Resolutions of Nexus's name without a whole answer.", func(s srv.Stats) uint64 { return s.Failed }),
		gauge("resolved_age_seconds", "Age of the last whole answer of DNS; without DNS 0.", func() float64 {
			if r == nil {
				return 0
			}
			return time.Since(r.Stats().Good).Seconds()
		}),
	}
}
