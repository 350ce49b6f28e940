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

// settleBudget is how long a removal waits, after the kill, for a start that is
// still under way to notice that it was cancelled.
const settleBudget = 2 * time.Second

// tailSize is how much of the server's log is kept as evidence.
const tailSize = 2048

var _ watchdog.Target = (*Runner)(nil)

// Remove removes the VMM's zone. It is the watchdog's to call and needs nothing
// of the loop: the zone is killed, whatever is under way on it is cancelled, and
// it is removed, for as long as it takes.
func (r *Runner) Remove(ctx context.Context, salvo *watchdog.Salvo) {
	begun := time.Now()
	r.notes.begin(begun)
	salvo.Aim(ctx)
	removal := r.removal()
	removal.Before = func(ctx context.Context) {
		salvo.Shot()
		salvo.Wait(ctx)
		r.add(vmm.Event{At: begun, Kind: "removal", Text: "zone " + r.zone})
		r.beforeLook(ctx)
	}
	if err := zone.EnsureGone(ctx, r.host.Zones, r.zone, removal); err != nil {
		return // the agent exits; the zone is the next one's
	}
	r.starting.setRemoved()
	r.host.Unclaim(r.reg.PropolisAddr, r.id)
	r.noteGone(begun)
	r.removals.Add(1)
}

// Expired tells the loop that a deadline has passed.
func (r *Runner) Expired(epoch uint64) {
	r.event("deadline", fmt.Sprintf("epoch %d", epoch))
	r.send(report{in: vmm.Expired{Epoch: epoch}})
}

// zoneEnded tells the loop that the zone has ended by itself. One that a removal
// has ended is that removal's to report: many may end at the moment at which
// others are still to be killed.
func (r *Runner) zoneEnded(e zone.End) {
	if r.notes.running() {
		r.send(report{in: vmm.ZoneEnded{Why: "zone ended: " + e.How}})
	}
}

// Gone tells the loop that the zone is gone.
func (r *Runner) Gone() { r.send(report{in: vmm.ZoneGone{}}) }

// removal says how this VMM's zone is removed.
func (r *Runner) removal() zone.Removal {
	return zone.Removal{Gate: r.host.Heavy, Begin: r.notes.rungBegins, Observe: r.noteRung, Abandoned: r.host.Abandoned}
}

// beforeLook runs when the zone was killed and nothing of it has been removed.
// Whatever else is under way on it ends here: to end it before the kill would
// keep other VMMs' kills waiting for all that wakes up.
func (r *Runner) beforeLook(ctx context.Context) {
	r.cancelWork()
	r.starting.settle(ctx, settleBudget)
	r.saveEvidence(ctx)
}

// saveEvidence keeps the last words of a server that did not end in order. It
// comes after the kill, which spares the log, so that it delays none.
func (r *Runner) saveEvidence(ctx context.Context) {
	v := r.view.Load()
	if v == nil || v.state.Phase == vmm.Registered || v.state.Propolis.State == vmm.PropolisDestroyed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.host.Evidence)
	defer cancel()
	tail := make(chan string, 1)
	go func() {
		text, err := r.host.Zones.Tail(ctx, r.zone, tailSize)
		if err != nil {
			text = []byte("no log: " + err.Error())
		}
		tail <- strings.TrimSpace(string(text))
	}()
	select {
	case text := <-tail:
		r.event("evidence", text)
	case <-ctx.Done():
		r.event("evidence", "no log within "+r.host.Evidence.String())
	}
}
