package agent

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

// dealWithOrphans removes the zones with the agent's prefix that belong to no VMM,
// unless they are to be kept, and reports new ones. With a fresh ledger they are kept:
// they may belong to VMMs that the ledger does not hold.
func (a *Agent) dealWithOrphans(zones map[string]zone.Info, were map[string]bool) map[string]bool {
	orphans := map[string]bool{}
	keep := a.keptBecause() != ""
	for name, z := range zones {
		if !strings.HasPrefix(name, a.cfg.Prefix) || a.mine(name) {
			continue
		}
		orphans[name] = true
		if !were[name] {
			a.cfg.Log.Warn().Str("zone", name).Stringer("zone_state", z.State).Bool("kept", keep).
				Bool("fresh_ledger", a.cfg.Journal.Fresh()).Msg("zone belongs to no VMM")
		}
		if !keep {
			_, _ = a.removeOrphan(name, "") // it is refused if a VMM of this zone was just registered
		}
	}
	a.orphans.Store(int64(len(orphans)))
	return orphans
}

// mine reports whether a zone belongs to a VMM that was registered after the list of
// VMMs was taken.
func (a *Agent) mine(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, r := a.owner(name)
	return r != nil
}

// owner returns the VMM to which a zone belongs, nil for none. The caller holds the lock.
func (a *Agent) owner(name string) (uuid.UUID, *runner.Runner) {
	for id, r := range a.vmms {
		if r.Zone() == name {
			return id, r
		}
	}
	return uuid.Nil, nil
}

// removeOrphan begins the removal of a zone that belongs to no VMM, if none is under way. Until
// it ends, no VMM is registered whose zone this would be: see admit.
func (a *Agent) removeOrphan(name string, by vmm.Who) (*orphan, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, r := a.owner(name); r != nil {
		return nil, &vmm.Refusal{Reason: vmm.Conflict, Detail: fmt.Sprintf("zone %s belongs to VMM %s (%s)", name, id, r.Identity().Hostname)}
	}
	o := a.removals[name]
	if o == nil {
		o = &orphan{a: a, name: name, by: by, begun: time.Now()}
		a.removals[name] = o
	}
	a.guard.Add(name, o)
	a.guard.Remove(name, 1)
	return o, nil
}

// orphan is a zone without a VMM that is being removed.
type orphan struct {
	a    *Agent
	name string
	// by is the operator who asked for it; empty if it was not requested.
	by    vmm.Who
	begun time.Time

	mu sync.Mutex
	// rung is being tried, last is the report of the last one.
	rung zone.Rung
	last zone.Report
}

// status describes the removal.
func (o *orphan) status() *vmm.RemovalStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := &vmm.RemovalStatus{Begun: o.begun, Rung: string(o.last.Rung), ZoneState: o.last.State.String(), Attempt: o.last.Attempt}
	if o.last.Err != nil {
		s.LastError = runner.Clean(o.last.Err.Error())
	}
	if o.rung != "" && o.rung != zone.RungLook {
		s.Rung = string(o.rung)
	}
	return s
}

// KillNow leaves it to Kill: nothing holds an orphan.
func (o *orphan) KillNow() bool { return false }

// Kill kills the zone's processes; Remove does what it cannot.
func (o *orphan) Kill(ctx context.Context) { _ = o.a.cfg.Zones.Remove(ctx, zone.RungKill, o.name) }

func (o *orphan) Remove(ctx context.Context) {
	var log, console []byte
	err := zone.EnsureGone(ctx, o.a.cfg.Zones, o.name, zone.Removal{Gate: o.a.host.Heavy, Abandoned: &o.a.abandoned,
		Before: func(ctx context.Context) {
			log, _ = o.a.host.ServerLog(ctx, o.name)
			console, _ = o.a.host.Console(ctx, o.name)
		},
		Begin:   o.begin,
		Observe: o.observe})
	if err != nil {
		return // the agent exits; the next one finds the zone again
	}
	done := o.a.cfg.Log.Info().Str("zone", o.name)
	if o.by != "" {
		done.Str("by", string(o.by))
	}
	done.Msg("removed orphan zone")
	if o.a.cfg.Bundle != nil && len(log) > 0 {
		o.a.cfg.Bundle(bundle.Evidence{Zone: o.name, Cause: bundle.UnexpectedZone, Log: log, Console: console})
	}
}

func (o *orphan) begin(r zone.Rung) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rung = r
}

func (o *orphan) observe(r zone.Report) {
	o.mu.Lock()
	o.last = r
	o.mu.Unlock()
	if r.Err != nil {
		o.a.cfg.Log.Warn().Err(r.Err).Str("zone", o.name).Str("rung", string(r.Rung)).Int("attempt", r.Attempt).
			Msg("failed to remove orphan zone; will retry")
	}
}

func (o *orphan) Expired(_, _ uint64) {}

// Gone forgets the removal. A further one of this zone would be another.
func (o *orphan) Gone(uint64) {
	o.a.mu.Lock()
	defer o.a.mu.Unlock()
	o.a.guard.Drop(o.name)
	delete(o.a.removals, o.name)
}
