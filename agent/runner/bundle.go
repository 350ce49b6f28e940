package runner

import (
	"context"
	"errors"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bounded"
	"github.com/sledagent/sledagent/zone"
)

// logSize is how much of the server's log becomes part of a bundle, in bytes. The log of a
// propolis-qemu has the guest's console as well. It is in memory while the zone is being
// removed, which may be that of every VMM at once.
const logSize = 64 << 10

// consoleSize is the same for the guest's console, which has all that the guest has written.
const consoleSize = 64 << 10

// ServerLog returns the end of the log of a zone's server, within the budget for
// evidence. A read that hangs is left behind.
func (h *Host) ServerLog(ctx context.Context, zone string) ([]byte, error) {
	return h.evidence(ctx, func(ctx context.Context) ([]byte, error) { return h.Zones.Tail(ctx, zone, logSize) })
}

// Console is like ServerLog for the console of a zone's guest, if the zone has kept it.
func (h *Host) Console(ctx context.Context, name string) ([]byte, error) {
	return h.evidence(ctx, func(ctx context.Context) ([]byte, error) { return zone.Console(ctx, h.Zones, name, consoleSize) })
}

// evidenceBudget bounds what is read of a zone.
func (h *Host) evidenceBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	budget := h.Settings.Evidence()
	return context.WithTimeoutCause(ctx, budget, errors.New("not read within "+budget.String()))
}

func (h *Host) evidence(ctx context.Context, of func(context.Context) ([]byte, error)) ([]byte, error) {
	ctx, cancel := h.evidenceBudget(ctx)
	defer cancel()
	text, _, err := bounded.Call(ctx, func() ([]byte, error) { return of(ctx) })
	return text, err
}

// keepLog keeps the log of the VMM's server, and its guest's console, for the bundle.
func (n *notes) keepLog(text, console []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log, n.console = text, console
}

// takeLog returns what was kept, once.
func (n *notes) takeLog() (text, console []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text, console = n.log, n.console
	n.log, n.console = nil, nil
	return text, console
}

// bundle hands over the evidence of a VMM's end, if it is of use. It is called once the
// end has been given to the ledger, and before it is published; it does not wait.
func (r *Runner) bundle(was, is vmm.State) {
	if was.Phase >= vmm.Ended || is.Phase < vmm.Ended {
		return
	}
	text, console := r.notes.takeLog()
	if r.host.Bundle == nil || !begun(is) || is.Outcome != vmm.Failed && !forced(is) {
		return
	}
	status := r.Status(true)
	r.host.Bundle(bundle.Evidence{Zone: r.zone, Cause: bundle.TerminatedInstance, Status: &status, Log: text, Console: console, Dir: r.host.collected(r.id)})
}

// begun reports whether a start was ever accepted, so that there may have been a zone.
func begun(s vmm.State) bool { return s.Cold || s.Src != "" }

// forced reports whether a VMM that has ended was stopped before Propolis had reported
// its end.
func forced(s vmm.State) bool {
	return s.Stop != nil && s.Propolis.State != "" && s.Propolis.State != vmm.PropolisDestroyed
}
