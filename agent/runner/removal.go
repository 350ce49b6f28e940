package runner

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/watchdog"
	"github.com/sledagent/sledagent/zone"
)

// tailSize is how much of the server's log is an event of the VMM.
const tailSize = 2048

var _ watchdog.Target = (*Runner)(nil)

// KillNow kills the zone's processes through its handle, if there is one.
func (r *Runner) KillNow() bool {
	r.killing.Store(true) // before the zone can end of it
	h := r.zoneHandle.Load()
	if h == nil {
		return false
	}
	begun := time.Now()
	if !(*h).Kill() {
		return false
	}
	r.killedNow = zone.Report{Rung: zone.RungKill, Attempt: 1, Begun: begun, Took: time.Since(begun)}
	return true
}

// Kill kills the zone's processes by the host's own means. Remove records it.
func (r *Runner) Kill(ctx context.Context) {
	k := zone.Report{Rung: zone.RungKill, Attempt: 1, Begun: time.Now()}
	r.notes.begin(k.Begun)
	k.Err = r.host.Zones.Remove(ctx, zone.RungKill, r.zone)
	k.Took = time.Since(k.Begun)
	r.killed.Store(&k)
}

// sentKill is the kill that the removal has begun with; nil if there was none, or if it has
// not returned.
func (r *Runner) sentKill() *zone.Report {
	if now := r.killedNow; !now.Begun.IsZero() {
		r.killedNow = zone.Report{}
		return &now
	}
	return r.killed.Swap(nil)
}

// Remove removes the VMM's zone. The watchdog calls it, and it needs nothing of the
// loop: effects under way on the zone are cancelled, and it is removed, for as long
// as that takes. They are cancelled after the kill: the goroutines that wake up
// would delay the kills of other VMMs.
func (r *Runner) Remove(ctx context.Context) {
	kill := r.sentKill()
	begun := time.Now()
	if kill != nil {
		begun = kill.Begun
	}
	begun = r.notes.begin(begun)
	removal := r.removal()
	removal.Killed = kill != nil && kill.Err == nil
	if h := r.zoneHandle.Load(); h != nil {
		removal.Ended = (*h).Ended()
	}
	removal.Before = func(ctx context.Context) {
		r.add(vmm.Event{At: begun, Kind: "removal", Text: "zone " + r.zone})
		if kill != nil {
			r.noteRung(*kill)
		}
		r.cancelWork()
		if r.notes.unexplained() {
			r.saveEvidence(ctx)
		}
	}
	if err := zone.EnsureGone(ctx, r.removalZones(), r.zone, removal); err != nil {
		return // the agent exits; the zone is the next one's
	}
	r.host.Unclaim(r.who.PropolisAddr, r.id)
	r.noteGone(begun)
}

// Expired reports to the loop that a deadline has passed.
func (r *Runner) Expired(epoch, n uint64) {
	r.event("deadline", fmt.Sprintf("epoch %d", epoch))
	r.report(vmm.Expired{Epoch: epoch, N: n})
}

// Gone reports to the loop that the zone is gone.
func (r *Runner) Gone(n uint64) { r.report(vmm.ZoneGone{N: n}) }

// report gives a report of the watchdog to the loop without waiting. There is room
// for it unless the loop is blocked.
func (r *Runner) report(in vmm.Input) {
	select {
	case r.guard <- in:
	default:
		go func() {
			select {
			case r.guard <- in:
			case <-r.ended:
			}
		}()
	}
}

// removal says how this VMM's zone is removed.
func (r *Runner) removal() zone.Removal {
	return zone.Removal{Gate: r.host.Heavy, Begin: r.notes.rungBegins, Observe: r.noteRung, Abandoned: r.host.Abandoned}
}

// saveEvidence keeps the end of the log of a server that did not end in order. It
// comes after the kill, which leaves the log alone, so that it delays no kill.
func (r *Runner) saveEvidence(ctx context.Context) {
	v := r.view.Load()
	if v == nil || v.state.Phase == vmm.Registered || v.state.Propolis.State == vmm.PropolisDestroyed {
		return
	}
	ctx, cancel := r.host.evidenceBudget(ctx) // for both
	defer cancel()
	text, err := r.host.ServerLog(ctx, r.zone)
	if err != nil {
		text = []byte("no log: " + err.Error())
	}
	console, err := r.host.Console(ctx, r.zone)
	if err != nil {
		console = []byte("no console: " + err.Error())
	}
	r.notes.keepLog(text, console)
	r.event("evidence", strings.TrimSpace(string(text[max(0, len(text)-tailSize):])))
}
