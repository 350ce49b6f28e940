package main

import (
	"os"
	"strings"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/api"
)

// A front is the agent as its servers see it, plus what only the daemon knows.
type front struct {
	*agent.Agent
	d *daemon
}

var (
	_ api.Agent   = front{}
	_ admin.Agent = front{}
)

// About describes this agent and its failed parts.
func (f front) About() admin.About {
	now := f.Disposition()
	about := admin.About{Version: version, SledID: f.Identifiers().SledID.String(), Backend: string(f.d.backend),
		Isolation: f.d.zones.isolation, Started: f.d.started, PID: os.Getpid(), VMMs: now.VMMs,
		Disposition: now.Disposition, Evacuating: now.Why, Troubles: append(f.d.troubles.all(), now.Troubles...)}
	about.Nexus, _ = f.d.nexus.Replicas()
	for _, server := range f.d.cfg.Nexus.DNS {
		about.NexusDNS = append(about.NexusDNS, server.String())
	}
	if addr := f.d.addr.Load(); addr != nil {
		about.API = f.d.apiScheme() + "://" + (*addr).String()
	}
	return about
}

// Identifiers identifies this sled.
func (f front) Identifiers() api.Identifiers {
	sled := f.d.identity.metadata()
	return api.Identifiers{SledID: sled.SledID, Serial: sled.SledSerial, Model: sled.SledModel}
}

// Subscribe delivers every VMM's events from now on.
func (f front) Subscribe(buffer int) (<-chan admin.NamedEvent, func()) {
	return f.d.events.Subscribe(buffer)
}

// status is the status text that systemd shows for the agent.
func status(troubles []string) string {
	if len(troubles) == 0 {
		return "serving"
	}
	return "retrying: " + strings.ReplaceAll(strings.Join(troubles, "; "), "\n", " ")
}
