package agent

import (
	"context"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/watchdog"
	"github.com/sledagent/sledagent/zone"
)

// auditPeriod is how often every zone is looked at, so that one that was made,
// changed or removed behind the agent's back is noticed within 5 seconds.
const auditPeriod = 3 * time.Second

// Adopt takes over the VMMs of the ledger, each in a goroutine of its own, so
// that one whose zone or Propolis hangs delays no other. It waits for none of
// them. From now on all zones are looked at from time to time, and those that
// belong to no VMM are dealt with. It is called once.
func (a *Agent) Adopt(all []ledger.Loaded) {
	a.mu.Lock()
	for _, e := range all {
		a.vmms[e.ID] = runner.Adopt(a.host, e)
		if e.State.Phase >= vmm.Booting && e.State.Phase <= vmm.Removing {
			a.claims[e.Registration.PropolisAddr] = e.ID
		}
	}
	a.mu.Unlock()
	a.loading.Store(false)
	a.audits.Go(a.audit)
}

// audit looks at every zone again and again.
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

// look compares what the table says with what the host says. It is told which
// orphans there were and returns which there are.
func (a *Agent) look(were map[string]bool) (orphans map[string]bool) {
	runners := a.all()
	before := make([]string, len(runners))
	for i, r := range runners {
		before[i] = r.Incarnation()
	}
	ctx, cancel := context.WithTimeout(a.host.Life, listBudget)
	defer cancel()
	zones, err := a.cfg.Zones.List(ctx)
	if err != nil {
		if a.host.Life.Err() == nil {
			a.cfg.Log.Warn().Err(err).Msg("zones cannot be listed")
		}
		return were
	}
	seen := make(map[string]zone.Info, len(zones))
	for _, z := range zones {
		seen[z.Name] = z
	}
	for i, r := range runners {
		r.Audit(seen[r.Zone()], before[i])
		r.NoteZone(seen[r.Zone()].State)
		delete(seen, r.Zone())
	}
	return a.dealWithOrphans(seen, were)
}

// dealWithOrphans has the zones of the agent's prefix that belong to no VMM
// removed, unless they are to be kept, and reports those that are new. To begin
// a removal that is under way already does nothing.
func (a *Agent) dealWithOrphans(zones map[string]zone.Info, were map[string]bool) map[string]bool {
	orphans := map[string]bool{}
	for name, z := range zones {
		if !strings.HasPrefix(name, a.cfg.Prefix) || a.mine(name) {
			continue
		}
		orphans[name] = true
		if !were[name] {
			a.cfg.Log.Warn().Str("zone", name).Stringer("zone_state", z.State).Bool("kept", a.cfg.KeepOrphans).
				Msg("zone belongs to no VMM")
		}
		if !a.cfg.KeepOrphans {
			a.guard.Add(name, orphan{a, name})
			a.guard.Remove(name)
		}
	}
	a.orphans.Store(int64(len(orphans)))
	return orphans
}

// mine tells whether a zone is that of a VMM which was registered since the list
// of VMMs was taken.
func (a *Agent) mine(name string) bool {
	for _, r := range a.all() {
		if r.Zone() == name {
			return true
		}
	}
	return false
}

// orphan is a zone without a VMM, on its way out.
type orphan struct {
	a    *Agent
	name string
}

func (o orphan) Remove(ctx context.Context, salvo *watchdog.Salvo) {
	salvo.Shot()
	err := zone.EnsureGone(ctx, o.a.cfg.Zones, o.name, zone.Removal{Gate: o.a.host.Heavy, Abandoned: &o.a.abandoned,
		Observe: func(r zone.Report) {
			if r.Err != nil {
				o.a.cfg.Log.Warn().Err(r.Err).Str("zone", o.name).Int("attempt", r.Attempt).Msg("orphan is not getting removed")
			}
		}})
	if err != nil {
		return // the agent exits; the next one finds it again
	}
	o.a.cfg.Log.Info().Str("zone", o.name).Msg("orphan is gone")
}

func (o orphan) Expired(uint64) {}
func (o orphan) Gone()          { o.a.guard.Drop(o.name) }
