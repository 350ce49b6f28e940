package agent

import (
	"context"
	"errors"
	"time"

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
			a.noteUnlisted(a.unlisted)
			return were
		}
	}
	a.noteZones(zones, a.unlisted)
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
