package agent

import (
	"context"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/watchdog"
)

// List says how every VMM is, without events.
func (a *Agent) List() []vmm.Status {
	runners := a.all()
	all := make([]vmm.Status, 0, len(runners))
	for _, r := range runners {
		all = append(all, r.Status(false))
	}
	return all
}

// Show says how one VMM is, with its events, or how it was when it was forgotten,
// if that is not too long ago.
func (a *Agent) Show(id uuid.UUID) (vmm.Status, error) {
	r, err := a.find(id)
	if err == nil {
		return r.Status(true), nil
	}
	if s, ok := a.past.find(id); ok {
		return s, nil
	}
	return vmm.Status{}, err
}

// Kill begins a VMM's removal at the operator's word.
func (a *Agent) Kill(ctx context.Context, id uuid.UUID) (vmm.Status, error) {
	r, err := a.find(id)
	if err != nil {
		return vmm.Status{}, err
	}
	if _, err := r.Do(ctx, vmm.Kill{}); err != nil {
		return vmm.Status{}, err
	}
	return r.Status(true), nil
}

// About says which agent this is.
func (a *Agent) About() admin.About {
	about := a.cfg.About
	a.mu.Lock()
	defer a.mu.Unlock()
	about.VMMs = len(a.vmms)
	return about
}

// Subscribe delivers every VMM's events from now on.
func (a *Agent) Subscribe(buffer int) (<-chan admin.NamedEvent, func()) {
	return a.bus.Subscribe(buffer)
}

// Watchdog tells how the deadlines are doing.
func (a *Agent) Watchdog() watchdog.Stats { return a.guard.Stats() }

// Orphans is how many zones belonged to no VMM when all were looked at last.
func (a *Agent) Orphans() int64 { return a.orphans.Load() }

// Abandoned is how many helper calls are stuck past their budget.
func (a *Agent) Abandoned() int64 { return a.abandoned.Load() }
