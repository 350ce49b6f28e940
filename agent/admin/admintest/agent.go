package admintest

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
)

// An Agent is an admin.Agent made of what it was given. Its zero value is
// ready. Its methods are safe for concurrent use.
type Agent struct {
	bus admin.Bus

	mu     sync.Mutex
	about  admin.About
	vmms   map[uuid.UUID]vmm.Status
	killed []uuid.UUID
	onKill func(context.Context, vmm.Status) (vmm.Status, error)
}

// New returns an Agent with these VMMs.
func New(about admin.About, vmms ...vmm.Status) *Agent {
	a := &Agent{about: about}
	for _, s := range vmms {
		a.Put(s)
	}
	return a
}

// Put adds a VMM or replaces it.
func (a *Agent) Put(s vmm.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.vmms == nil {
		a.vmms = make(map[uuid.UUID]vmm.Status)
	}
	a.vmms[s.ID] = s
}

// Forget drops a VMM.
func (a *Agent) Forget(id uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.vmms, id)
}

// Emit adds an event to a VMM that is there and tells the subscribers.
func (a *Agent) Emit(id uuid.UUID, e vmm.Event) {
	a.mu.Lock()
	if s, there := a.vmms[id]; there {
		s.Events = append(slices.Clip(s.Events), e)
		a.vmms[id] = s
	}
	a.mu.Unlock()
	a.bus.Publish(admin.NamedEvent{VMM: id, Event: e})
}

// OnKill sets what Kill does and answers with. Without it, Kill answers with
// the VMM as it is.
func (a *Agent) OnKill(f func(context.Context, vmm.Status) (vmm.Status, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onKill = f
}

// Killed lists the VMMs that Kill was called for.
func (a *Agent) Killed() []uuid.UUID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.killed)
}

// List implements admin.Agent, in whatever order.
func (a *Agent) List() []vmm.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Collect(maps.Values(a.vmms))
	for i := range all {
		all[i].Events = nil
	}
	return all
}

// Show implements admin.Agent.
func (a *Agent) Show(id uuid.UUID) (vmm.Status, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, there := a.vmms[id]
	if !there {
		return vmm.Status{}, &vmm.Refusal{Reason: vmm.Unknown}
	}
	return s, nil
}

// Kill implements admin.Agent.
func (a *Agent) Kill(ctx context.Context, id uuid.UUID) (vmm.Status, error) {
	s, err := a.Show(id)
	if err != nil {
		return s, err
	}
	a.mu.Lock()
	a.killed = append(a.killed, id)
	onKill := a.onKill
	a.mu.Unlock()
	if onKill == nil {
		return s, nil
	}
	return onKill(ctx, s)
}

// About implements admin.Agent.
func (a *Agent) About() admin.About {
	a.mu.Lock()
	defer a.mu.Unlock()
	about := a.about
	about.VMMs = len(a.vmms)
	return about
}

// SetAbout sets what About answers, but for the number of VMMs.
func (a *Agent) SetAbout(about admin.About) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.about = about
}

// Subscribe implements admin.Agent.
func (a *Agent) Subscribe(buffer int) (<-chan admin.NamedEvent, func()) {
	return a.bus.Subscribe(buffer)
}
