package agent

import (
	"context"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/meter"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/watchdog"
)

// List returns every VMM's Status, without events.
func (a *Agent) List() []vmm.Status {
	runners := a.all()
	all := make([]vmm.Status, 0, len(runners))
	for _, r := range runners {
		all = append(all, r.Status(false))
	}
	return all
}

// Show returns one VMM's Status with its events, or its last one if it has ended and is
// still kept.
func (a *Agent) Show(id uuid.UUID) (vmm.Status, error) {
	r, err := a.find(id)
	if err == nil {
		return r.Status(true), nil
	}
	if s, ok := a.cfg.Journal.Ended(id); ok {
		return s, nil
	}
	return vmm.Status{}, err
}

// Ended returns the last Status of ended VMMs, latest first, without events.
func (a *Agent) Ended() []vmm.Status { return a.cfg.Journal.AllEnded() }

// Kill begins a VMM's removal for the operator.
func (a *Agent) Kill(ctx context.Context, id uuid.UUID) (vmm.Status, error) {
	r, err := a.find(id)
	if err != nil {
		return vmm.Status{}, err
	}
	if _, err := r.Do(ctx, vmm.Kill{By: caller.Of(ctx, vmm.ByOperator)}); err != nil {
		return vmm.Status{}, err
	}
	return r.Status(true), nil
}

// VMMs returns the number of VMMs.
func (a *Agent) VMMs() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.vmms)
}

// Watchdog returns the watchdog's statistics.
func (a *Agent) Watchdog() watchdog.Stats { return a.guard.Stats() }

// Meter returns the metrics of what became of VMMs.
func (a *Agent) Meter() *meter.Meter { return a.meter }

// Orphans returns the number of orphan zones in the last list.
func (a *Agent) Orphans() int64 { return a.orphans.Load() }

// GaveUp returns how many terminal records were never acknowledged.
func (a *Agent) GaveUp() int64 { return a.gaveUp.Load() }

// Unsure returns how often a question had no answer.
func (a *Agent) Unsure() int64 { return a.unsure.Load() }

// Abandoned returns how many helper calls are hanging past their budget.
func (a *Agent) Abandoned() int64 { return a.abandoned.Load() }
