package main

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/publish/srv"
	"github.com/sledagent/sledagent/config"
	"github.com/sledagent/sledagent/internal/certs"
)

// openNexus creates the client of Nexus and, if Nexus is found by DNS, the resolver.
func (d *daemon) openNexus() {
	cfg, scheme := d.cfg.Nexus, "http"
	o := publish.Config{Addresses: cfg.Addresses, Named: len(cfg.DNS) > 0, RequestTimeout: cfg.RequestTimeout,
		ShunFor: cfg.RetryMax, Log: d.log.Logger}
	if cfg.TLS.On() {
		scheme = "https"
		d.nexusCerts, o.TLS = nexusTLS(cfg.TLS, d.log.Logger)
	}
	d.nexus = publish.New(o)
	if len(cfg.DNS) == 0 {
		return
	}
	d.resolver = srv.New(srv.Options{Servers: cfg.DNS, Log: d.log.Logger,
		Found:  func(all []netip.AddrPort) { d.nexus.SetReplicas(baseURLs(scheme, all)) },
		Report: func(err error) { d.troubles.set("nexus.dns", err) }})
}

// nexusTLS returns the files of [nexus.tls], and what a connection to a server of Nexus's uses.
func nexusTLS(t config.ClientTLS, log zerolog.Logger) (*certs.Store, func(server string) (*tls.Config, error)) {
	store := certs.New(certs.Files{Cert: t.Cert, Key: t.Key, CA: t.CA}, log)
	return store, func(server string) (*tls.Config, error) { return store.Client(cmp.Or(t.ServerName, server)) }
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
	stats := func() srv.Stats { return srv.Stats{} }
	if r != nil {
		stats = r.Stats
	}
	return []prometheus.Collector{
		gauge("nexus_replicas", "Replicas of Nexus that are known.", func() float64 {
			all, _ := n.Replicas()
			return float64(len(all))
		}),
		gauge("nexus_replicas_avoided", "Replicas of Nexus that gave no answer and are avoided while another one answers.", func() float64 {
			_, avoided := n.Replicas()
			return float64(avoided)
		}),
		counter("nexus_resolutions_total", "Resolutions of Nexus's name by DNS.", func() float64 { return float64(stats().Resolutions) }),
		counter("nexus_resolutions_failed_total", "Resolutions of Nexus's name without a whole answer.", func() float64 { return float64(stats().Failed) }),
		gauge("nexus_resolved_age_seconds", "Age of the last whole answer of DNS; without DNS 0.", func() float64 {
			if r == nil {
				return 0
			}
			return time.Since(stats().Good).Seconds()
		}),
	}
}
