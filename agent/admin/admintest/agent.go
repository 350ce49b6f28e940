package admintest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

// An Agent is an admin.Agent with fixed contents. Its zero value is ready. Its methods
// are safe for concurrent use.
type Agent struct {
	bus admin.Bus

	mu     sync.Mutex
	about  admin.About
	vmms   map[uuid.UUID]vmm.Status
	ended  []vmm.Status // latest first
	killed []uuid.UUID
	onKill func(context.Context, vmm.Status) (vmm.Status, error)
	drain  *disposition.DrainStatus
	// drained is called after the first BeginDrain.
	drained func()
	zones   vmm.ZoneList
	removed []string
}

// New returns an Agent with these VMMs.
func New(about admin.About, vmms ...vmm.Status) *Agent {
	a := &Agent{about: about}
	for _, s := range vmms {
		a.Put(s)
	}
	return a
}

// Put adds or replaces a VMM.
func (a *Agent) Put(s vmm.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.vmms == nil {
		a.vmms = make(map[uuid.UUID]vmm.Status)
	}
	a.vmms[s.ID] = s
}

// PutEnded adds an ended VMM as the latest.
func (a *Agent) PutEnded(s vmm.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = append([]vmm.Status{s}, a.ended...)
}

// Forget removes a VMM.
func (a *Agent) Forget(id uuid.UUID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.vmms, id)
}

// Emit adds an event to a VMM, if it exists, and sends it to the subscribers.
func (a *Agent) Emit(id uuid.UUID, e vmm.Event) {
	a.mu.Lock()
	if s, there := a.vmms[id]; there {
		s.Events = append(slices.Clip(s.Events), e)
		a.vmms[id] = s
	}
	a.mu.Unlock()
	a.bus.Publish(admin.NamedEvent{VMM: id, Event: e})
}

// OnKill sets the function behind Kill. Without it, Kill returns the VMM's Status
// unchanged.
func (a *Agent) OnKill(f func(context.Context, vmm.Status) (vmm.Status, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onKill = f
}

// Killed lists the VMMs for which Kill was called.
func (a *Agent) Killed() []uuid.UUID {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.killed)
}

// List implements admin.Agent, in random order.
func (a *Agent) List() []vmm.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Collect(maps.Values(a.vmms))
	for i := range all {
		all[i].Events = nil
	}
	return all
}

// Ended implements admin.Agent.
func (a *Agent) Ended() []vmm.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := slices.Clone(a.ended)
	for i := range all {
		all[i].Events = nil
	}
	return all
}

// Show implements admin.Agent.
func (a *Agent) Show(id uuid.UUID) (vmm.Status, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s, there := a.vmms[id]; there {
		return s, nil
	}
	for _, s := range a.ended {
		if s.ID == id {
			return s, nil
		}
	}
	return vmm.Status{}, &vmm.Refusal{Reason: vmm.Unknown}
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

// Disposition implements admin.Agent.
func (a *Agent) Disposition() disposition.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := disposition.Status{Disposition: disposition.Available, VMMs: len(a.vmms), Operator: a.drain}
	if a.drain != nil {
		s.Disposition, s.Why = disposition.Evacuating, "drained by the "+a.drain.By
	}
	return s
}

// BeginDrain implements admin.Agent. It stops nothing.
func (a *Agent) BeginDrain(_ context.Context, by vmm.Who, grace *time.Duration) disposition.Status {
	d := &disposition.DrainStatus{By: string(by), Since: time.Now(), Grace: 10 * time.Minute}
	if grace != nil {
		d.Grace = *grace
	}
	d.Deadline = d.Since.Add(d.Grace)
	a.mu.Lock()
	a.drain = d
	drained := a.drained
	a.drained = nil
	a.mu.Unlock()
	if drained != nil {
		drained()
	}
	return a.Disposition()
}

// OnDrain sets a function that the first BeginDrain calls.
func (a *Agent) OnDrain(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drained = f
}

// EndDrain implements admin.Agent.
func (a *Agent) EndDrain(context.Context, vmm.Who) (disposition.Status, error) {
	a.mu.Lock()
	a.drain = nil
	a.mu.Unlock()
	return a.Disposition(), nil
}

// SetZones sets the result of ListZones.
func (a *Agent) SetZones(list vmm.ZoneList) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.zones = list
}

// ListZones implements admin.Agent.
func (a *Agent) ListZones() vmm.ZoneList {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := a.zones
	list.Zones = append([]vmm.ZoneStatus{}, list.Zones...)
	return list
}

// RemoveZone implements admin.Agent. The zone stays in the list, as one that is being removed.
func (a *Agent) RemoveZone(_ context.Context, by vmm.Who, name string) (vmm.ZoneStatus, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, z := range a.zones.Zones {
		switch {
		case z.Name != name:
			continue
		case z.VMM != nil:
			return z, &vmm.Refusal{Reason: vmm.Conflict, Detail: "zone " + name + " belongs to VMM " + z.VMM.String()}
		}
		z.By, z.Kept, z.Removal = string(by), "", &vmm.RemovalStatus{Begun: a.zones.At, Rung: "kill", ZoneState: z.State, Attempt: 1}
		a.zones.Zones = slices.Clone(a.zones.Zones)
		a.zones.Zones[i] = z
		a.removed = append(a.removed, name)
		return z, nil
	}
	return vmm.ZoneStatus{}, &vmm.Refusal{Reason: vmm.NoZone, Detail: name}
}

// Removed lists the zones that RemoveZone has begun to remove.
func (a *Agent) Removed() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.removed)
}

// About implements admin.Agent.
func (a *Agent) About() admin.About {
	a.mu.Lock()
	defer a.mu.Unlock()
	about := a.about
	about.VMMs = len(a.vmms)
	return about
}

// SetAbout sets the result of About, except the number of VMMs.
func (a *Agent) SetAbout(about admin.About) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.about = about
}

// Subscribe implements admin.Agent.
func (a *Agent) Subscribe(buffer int) (<-chan admin.NamedEvent, func()) {
	return a.bus.Subscribe(buffer)
}
