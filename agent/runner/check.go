package runner

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bounded"
	"github.com/sledagent/sledagent/zone"
)

const (
	// lookBudget bounds one look at a zone.
	lookBudget = 5 * time.Second
	// maxStuck is how many looks at one zone may be stuck past their budget before
	// no further one is begun.
	maxStuck = 2
	// checkPause is the least time between two looks that hints ask for.
	checkPause = time.Second
)

// check looks at the zone until it is known whether the recorded boot of it goes
// on. A look without an answer is repeated with backoff: only proof that the zone
// has ended ends the VMM.
func (r *Runner) check(ctx context.Context, e vmm.Check, incarnation string, tell func(report)) {
	again := newPause(200*time.Millisecond, 5*time.Second)
	for ctx.Err() == nil {
		r.again.Store(false)
		info, err := r.look(ctx)
		switch v, why := zone.Judge(info, err, incarnation); v {
		case zone.Ended:
			if !r.removing() { // else that has ended it, and reports so
				tell(report{in: vmm.ZoneEnded{Why: reason(e, why)}})
			}
			return
		case zone.Present:
			again.Reset()
			r.present(ctx, info, tell)
			if !pause(ctx, checkPause) || !r.again.Load() {
				return
			}
		default:
			if ctx.Err() != nil {
				return // the removal has begun, or the agent exits
			}
			r.unsure(vmm.OfZone, why, tell)
			pause(ctx, again.NextBackOff())
		}
	}
}

// present reports that the zone is there, watches it, and asks after the server
// in it if that is wanted.
func (r *Runner) present(ctx context.Context, info zone.Info, tell func(report)) {
	r.notePID(info.PID)
	unwatch := r.watchZone()
	tell(report{in: vmm.Present{Of: vmm.OfZone}, then: func(r *Runner) {
		if r.unwatch != nil {
			r.unwatch()
		}
		r.unwatch = unwatch
	}})
	if !r.askServer.Swap(false) {
		return
	}
	why, err := r.serverFailed(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.unsure(vmm.OfServer, err.Error(), tell)
	case why != "":
		tell(report{in: vmm.Lost{Why: why}})
	}
}

// watchZone watches the zone, which runs, and holds it for a kill.
func (r *Runner) watchZone() (unwatch func()) {
	unwatch = zone.Watch(r.host.Zones, r.zone, r.zoneChanged)
	if h := zone.Hold(r.host.Zones, r.zone); h != nil {
		r.zoneHandle.Store(&h)
	}
	return unwatch
}

// unsure reports that a question could not be answered.
func (r *Runner) unsure(of vmm.Subject, why string, tell func(report)) {
	r.host.Unsure.Add(1)
	tell(report{in: vmm.Unsure{Of: of, Why: why}})
}

// reason is why the zone has ended, with the hint that caused the look.
func reason(e vmm.Check, why string) string {
	switch {
	case e.Rebooted:
		return "the host has rebooted: " + why
	case e.How != "" && !strings.Contains(why, e.How):
		return why + " (" + e.How + ")"
	}
	return why
}

// look takes one look at the zone within lookBudget. A look that does not return
// is abandoned.
func (r *Runner) look(ctx context.Context) (zone.Info, error) {
	return within(ctx, r, lookBudget, "look at zone "+r.zone, func(ctx context.Context) (zone.Info, error) {
		return r.host.Zones.Look(ctx, r.zone)
	})
}

// serverFailed asks the host once after the server in the zone.
func (r *Runner) serverFailed(ctx context.Context) (why string, err error) {
	return within(ctx, r, askHostBudget, "ask the host for the state of the server", func(ctx context.Context) (string, error) {
		return r.host.Zones.ServerFailed(ctx, r.zone)
	})
}

// within calls do and returns when its budget has passed, even if do ignores its
// context. At most maxStuck such calls are left behind.
func within[T any](ctx context.Context, r *Runner, budget time.Duration, what string, do func(context.Context) (T, error)) (T, error) {
	var none T
	if n := r.stuck.Load(); n >= maxStuck {
		return none, fmt.Errorf("%s: %d earlier calls are still stuck", what, n)
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	r.stuck.Add(1)
	value, late, err := bounded.Call(ctx, func() (T, error) {
		defer r.stuck.Add(-1)
		return do(ctx)
	})
	if late {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return value, err
}

// zoneChanged passes on a Manager's hint about the zone. After a removal has begun
// hints are dropped: many zones may end at the moment at which others are still to
// be killed.
func (r *Runner) zoneChanged(e zone.End) { r.hint(e.How) }

func (r *Runner) hint(how string) {
	if !r.removing() {
		r.send(report{in: vmm.ZoneChanged{How: how}})
	}
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

// Audit compares what a list says of the VMM's zone with what should be there,
// and has the zone looked at if that does not fit. incarnation is what Incarnation
// was before the list: a zone that was booted since is compared with the next list.
func (r *Runner) Audit(info zone.Info, listed bool, incarnation string) {
	if incarnation == "" || incarnation != r.Incarnation() {
		return
	}
	if !listed {
		info.State = zone.Absent
	}
	if v, why := zone.Judge(info, nil, incarnation); v != zone.Present {
		r.hint(why)
	}
}
