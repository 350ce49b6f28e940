package main

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/hostfacts"
)

// factsBudget bounds each question to the host.
const factsBudget = 5 * time.Second

// facts are what the inventory says of the host. They do not change while it runs.
type facts struct {
	once      sync.Once
	memory    uint64
	cpuFamily string
}

// learnFacts asks the host at the first call. What the host does not tell is left out.
func (d *daemon) learnFacts() {
	d.facts.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), factsBudget)
		defer cancel()
		var err error
		if d.facts.memory, err = hostfacts.Memory(); err != nil {
			d.log.Warn().Err(err).Msg("failed to read the size of the host's memory")
		}
		if d.facts.cpuFamily, err = hostfacts.CPUFamily(ctx, d.log.Logger); err != nil {
			d.log.Warn().Err(err).Msg("failed to read the kind of the host's CPU")
		}
	})
}

// Sled describes this sled for the inventory.
func (f front) Sled(ctx context.Context) api.Sled {
	f.d.learnFacts()
	s := api.Sled{CPUFamily: f.d.facts.cpuFamily, Memory: f.d.facts.memory, Threads: runtime.NumCPU(), Reservoir: f.d.reservoirSize(ctx)}
	s.Disposition, s.VMMs, s.Loaded = f.Held()
	if addr := f.d.addr.Load(); addr != nil {
		s.Addr, _ = netip.ParseAddrPort((*addr).String()) // of a TCP listener
	}
	return s
}

// reservoirSize asks the kernel for the size of the reservoir of guest memory; 0 if there
// is none or it cannot be told.
func (d *daemon) reservoirSize(ctx context.Context) uint64 {
	if d.zones.bhyve == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, factsBudget)
	defer cancel()
	r, err := d.zones.bhyve.Reservoir(ctx)
	if err != nil {
		d.log.Debug().Err(err).Msg("failed to read the size of the reservoir")
	}
	return r.Size()
}
