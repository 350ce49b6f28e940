package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

// seenZones are the agent's zones as the host listed them last. Agent.mu guards them.
type seenZones struct {
	at      time.Time
	trouble string
	all     []seenZone
}

type seenZone struct {
	zone.Info
	// since is when the zone was first seen in this state.
	since time.Time
}

// noteZones keeps a list of zones. trouble says why some may be missing.
func (a *Agent) noteZones(zones []zone.Info, trouble string) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	before := make(map[string]seenZone, len(a.seen.all))
	for _, z := range a.seen.all {
		before[z.Name] = z
	}
	a.seen = seenZones{at: now, trouble: trouble, all: make([]seenZone, 0, len(zones))}
	for _, z := range zones {
		since := now
		if b, ok := before[z.Name]; ok && b.State == z.State {
			since = b.since
		}
		a.seen.all = append(a.seen.all, seenZone{z, since})
	}
	slices.SortFunc(a.seen.all, func(a, b seenZone) int { return strings.Compare(a.Name, b.Name) })
}

// noteUnlisted notes that the host did not list its zones.
func (a *Agent) noteUnlisted(trouble string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen.trouble = trouble
}

// ListZones returns the agent's zones by name, as the host listed them last, from memory.
func (a *Agent) ListZones() vmm.ZoneList {
	kept := a.keptBecause()
	a.mu.Lock()
	defer a.mu.Unlock()
	owners := make(map[string]uuid.UUID, len(a.vmms))
	for id, r := range a.vmms {
		owners[r.Zone()] = id
	}
	list := vmm.ZoneList{At: a.seen.at, Trouble: runner.Clean(a.seen.trouble), Zones: make([]vmm.ZoneStatus, 0, len(a.seen.all))}
	if list.At.IsZero() && list.Trouble == "" {
		list.Trouble = "the host has not listed its zones yet"
	}
	for _, z := range a.seen.all {
		s := vmm.ZoneStatus{Name: z.Name, State: z.State.String(), Since: z.since}
		id, owned := owners[z.Name]
		switch o := a.removals[z.Name]; {
		case owned:
			s.VMM, s.Hostname = &id, a.vmms[id].Identity().Hostname
		case o != nil:
			s.Orphan, s.Removal, s.By = true, o.status(), string(o.by)
		case strings.HasPrefix(z.Name, a.cfg.Prefix):
			s.Orphan, s.Kept = true, kept
		}
		list.Zones = append(list.Zones, s)
	}
	return list
}

// keptBecause says why orphans are kept; empty if they are removed.
func (a *Agent) keptBecause() string {
	switch {
	case a.cfg.Journal.Fresh():
		return "the ledger is new or was repaired: the record of its VMM may be lost"
	case a.cfg.KeepOrphans:
		return "zones.orphans is keep"
	}
	return ""
}

// RemoveZone begins to remove a zone that belongs to no VMM, for an operator. It returns once
// that is decided. Removing a zone twice is no error. It is refused while the agent does not know
// all of its VMMs, for a zone of one of them, and for what is no zone of the agent's. The removal
// is retried until the agent exits; a later agent does not go on with it.
func (a *Agent) RemoveZone(ctx context.Context, by vmm.Who, name string) (vmm.ZoneStatus, error) {
	switch {
	case a.loading.Load():
		return vmm.ZoneStatus{}, &vmm.Refusal{Reason: vmm.Loading}
	case a.draining.Load():
		return vmm.ZoneStatus{}, &vmm.Refusal{Reason: vmm.Draining}
	}
	s, err := a.lookAt(ctx, name)
	if err != nil {
		return s, err
	}
	o, err := a.removeOrphan(name, by)
	if err != nil {
		return s, err
	}
	a.cfg.Log.Warn().Str("zone", name).Str("zone_state", s.State).Str("by", string(by)).Msg("an operator removes an orphan zone")
	s.Orphan, s.Kept, s.Removal, s.By = true, "", o.status(), string(o.by)
	return s, nil
}

// lookAt returns a zone that is in the last list, or that the host has now.
func (a *Agent) lookAt(ctx context.Context, name string) (vmm.ZoneStatus, error) {
	list := a.ListZones()
	if i := slices.IndexFunc(list.Zones, func(z vmm.ZoneStatus) bool { return z.Name == name }); i >= 0 {
		return list.Zones[i], nil
	}
	missing := &vmm.Refusal{Reason: vmm.NoZone, Detail: fmt.Sprintf("%q", name)}
	if !strings.HasPrefix(name, a.cfg.Prefix) || zone.ValidName(name) != nil {
		missing.Detail += " is none of the agent's, which begin with " + a.cfg.Prefix
		return vmm.ZoneStatus{}, missing
	}
	ctx, cancel := context.WithTimeout(ctx, zone.Budget(zone.RungLook))
	defer cancel()
	info, err := a.cfg.Zones.Look(ctx, name)
	switch {
	case err != nil:
		return vmm.ZoneStatus{}, fmt.Errorf("look whether zone %s exists: %w", name, err)
	case info.State == zone.Absent:
		return vmm.ZoneStatus{}, missing
	}
	return vmm.ZoneStatus{Name: name, State: info.State.String(), Since: time.Now()}, nil
}
