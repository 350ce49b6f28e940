package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
)

// lookBudget bounds one look at a zone.
const lookBudget = 5 * time.Second

// adopt holds that the VMM's zone still is the one that was booted for it, and
// has its end reported from then on. A host that does not say is asked again: a
// zone is not given up because nobody can look at it.
func (r *Runner) adopt(ctx context.Context, tell func(report)) {
	pause := backoff.NewExponentialBackOff(backoff.WithInitialInterval(200*time.Millisecond),
		backoff.WithMaxInterval(5*time.Second), backoff.WithMaxElapsedTime(0))
	info, err := backoff.RetryWithData(func() (zone.Info, error) {
		ctx, cancel := context.WithTimeout(ctx, lookBudget)
		defer cancel()
		info, err := r.host.Zones.Look(ctx, r.zone)
		if err != nil {
			r.add(vmm.Event{At: time.Now(), Kind: "adopting", Text: "look at the zone", Error: err.Error()})
		}
		return info, err
	}, backoff.WithContext(pause, ctx))
	if err != nil {
		return // the removal has begun, or the agent exits
	}
	if why := stranger(info, r.Incarnation()); why != "" {
		tell(report{in: vmm.ZoneEnded{Why: why}})
		return
	}
	r.notePID(info.PID)
	unwatch := r.host.Zones.Watch(r.zone, r.zoneEnded)
	tell(report{then: func(r *Runner) { r.unwatch = unwatch }})
}

// stranger says why a zone is not the one that was booted as incarnation; empty
// if it is.
func stranger(info zone.Info, incarnation string) string {
	switch {
	case info.State != zone.Running:
		return fmt.Sprintf("zone is %s", info.State)
	case info.Incarnation != incarnation:
		return fmt.Sprintf("zone was booted again: it is %s, not %s", info.Incarnation, incarnation)
	}
	return ""
}

// Incarnation is the boot of the zone in which the VMM lives; empty while there
// is none that has to be running.
func (r *Runner) Incarnation() string {
	v := r.view.Load()
	if v == nil || v.state.Phase < vmm.Ensuring || v.state.Phase > vmm.Stopping {
		return ""
	}
	return v.zone.Incarnation
}

// Zone is the name of the VMM's zone.
func (r *Runner) Zone() string { return r.zone }

// Audit takes a look at the VMM's zone that somebody else has taken. incarnation
// is what Incarnation was before the look: a zone that was booted since is
// another look's business.
func (r *Runner) Audit(info zone.Info, incarnation string) {
	if incarnation == "" || incarnation != r.Incarnation() {
		return
	}
	if why := stranger(info, incarnation); why != "" {
		r.send(report{in: vmm.ZoneEnded{Why: why}})
	}
}
