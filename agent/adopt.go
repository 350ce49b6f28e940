package agent

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

// auditPeriod is the time between looks at all zones, so that one that was created,
// changed or removed by another program is noticed within 5 seconds.
const auditPeriod = 3 * time.Second

// Adopt takes over the VMMs of the ledger and returns at once. Each has a goroutine of
// its own, so that one whose zone or Propolis hangs delays no other. From then on all
// zones are listed periodically, and orphans are handled. It is called once.
func (a *Agent) Adopt(all []ledger.Loaded) {
	a.mu.Lock()
	for _, e := range all {
		a.enter(e.ID, runner.Adopt(a.host, e), e.Size)
		if e.State.Phase >= vmm.Booting && e.State.Phase <= vmm.Removing {
			a.claims[plain(e.Identity.PropolisAddr)] = e.ID
		}
	}
	a.mu.Unlock()
	a.loading.Store(false)
	a.audits.Go(a.audit)
	a.audits.Go(a.drainer)
}

// audit lists all zones periodically.
func (a *Agent) audit() {
	tick := time.NewTicker(auditPeriod)
	defer tick.Stop()
	orphans := map[string]bool{}
	for {
		orphans = a.look(orphans)
		select {
		case <-tick.C:
		case <-a.host.Life.Done():
			return
		}
	}
}

// look compares the table with the host. It receives the previous orphans and returns
// the present ones.
func (a *Agent) look(were map[string]bool) (orphans map[string]bool) {
	runners := a.all()
	before := make([]string, len(runners))
	for i, r := range runners {
		before[i] = r.Incarnation()
	}
	ctx, cancel := context.WithTimeout(a.host.Life, listBudget)
	defer cancel()
	zones, err := a.cfg.Zones.List(ctx)
	if err == nil {
		a.unlisted = ""
	} else {
		if a.host.Life.Err() == nil && err.Error() != a.unlisted {
			a.cfg.Log.Warn().Err(err).Msg("failed to list zones")
		}
		a.unlisted = err.Error()
		if !errors.Is(err, zone.ErrPartial) {
			return were
		}
	}
	seen := make(map[string]zone.Info, len(zones))
	for _, z := range zones {
		seen[z.Name] = z
	}
	for i, r := range runners {
		info, listed := seen[r.Zone()]
		r.Audit(info, listed, before[i])
		if listed {
			r.NoteZone(info.State)
		}
		delete(seen, r.Zone())
	}
	orphans = a.dealWithOrphans(seen, were)
	if err == nil && len(orphans) == 0 && a.cfg.Journal.Fresh() {
		a.cfg.Journal.Settle()
		a.cfg.Log.Info().Msg("settled the new ledger: no orphan zones")
	}
	return orphans
}

// dealWithOrphans removes the zones with the agent's prefix that belong to no VMM,
// unless they are to be kept, and reports new ones. With a fresh ledger they are kept:
// they may belong to VMMs that the ledger does not hold.
func (a *Agent) dealWithOrphans(zones map[string]zone.Info, were map[string]bool) map[string]bool {
	orphans := map[string]bool{}
	fresh := a.cfg.Journal.Fresh()
	keep := a.cfg.KeepOrphans || fresh
	for name, z := range zones {
		if !strings.HasPrefix(name, a.cfg.Prefix) || a.mine(name) {
			continue
		}
		orphans[name] = true
		if !were[name] {
			a.cfg.Log.Warn().Str("zone", name).Stringer("zone_state", z.State).Bool("kept", keep).
				Bool("fresh_ledger", fresh).Msg("zone belongs to no VMM")
		}
		if !keep {
			a.guard.Add(name, orphan{a, name})
			a.guard.Remove(name, 1)
		}
	}
	a.orphans.Store(int64(len(orphans)))
	return orphans
}

// mine reports whether a zone belongs to a VMM that was registered after the list of
// VMMs was taken.
func (a *Agent) mine(name string) bool {
	for _, r := range a.all() {
		if r.Zone() == name {
			return true
		}
	}
	return false
}

// orphan is a zone without a VMM that is being removed.
type orphan struct {
	a    *Agent
	name string
}

// Kill kills the zone's processes; Remove does what it cannot.
func (o orphan) Kill(ctx context.Context) { _ = o.a.cfg.Zones.Remove(ctx, zone.RungKill, o.name) }

func (o orphan) Remove(ctx context.Context) {
	var log, console []byte
	err := zone.EnsureGone(ctx, o.a.cfg.Zones, o.name, zone.Removal{Gate: o.a.host.Heavy, Abandoned: &o.a.abandoned,
		Before: func(ctx context.Context) {
			log, _ = o.a.host.ServerLog(ctx, o.name)
			console, _ = o.a.host.Console(ctx, o.name)
		},
		Observe: func(r zone.Report) {
			if r.Err != nil {
				o.a.cfg.Log.Warn().Err(r.Err).Str("zone", o.name).Str("rung", string(r.Rung)).Int("attempt", r.Attempt).
					Msg("failed to remove orphan zone; will retry")
			}
		}})
	if err != nil {
		return // the agent exits; the next one finds the zone again
	}
	o.a.cfg.Log.Info().Str("zone", o.name).Msg("removed orphan zone")
	if o.a.cfg.Bundle != nil && len(log) > 0 {
		o.a.cfg.Bundle(bundle.Evidence{Zone: o.name, Cause: bundle.UnexpectedZone, Log: log, Console: console})
	}
}

func (o orphan) Expired(_, _ uint64) {}
func (o orphan) Gone(uint64)         { o.a.guard.Drop(o.name) }
