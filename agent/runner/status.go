package runner

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
)

// Status returns everything there is to show of the VMM, with its events if
// events is set.
func (r *Runner) Status(events bool) vmm.Status {
	v := r.view.Load()
	if v == nil {
		v = &view{state: vmm.State{Record: vmm.Record{VMM: r.born}}}
	}
	s := v.state
	out := vmm.Status{
		ID: r.id, InstanceID: r.who.InstanceID, Hostname: r.who.Hostname, Zone: r.zone,
		Addr: r.who.PropolisAddr.String(), Record: s.Record, Phase: s.Phase.String(), Since: s.Since,
		WaitsFor: waitsFor(s), Outcome: s.Outcome.String(), Reason: s.Reason, Disowned: s.Disowned,
		Degraded: r.degraded(v), Network: r.networkStatus(s), Evidence: r.host.collected(r.id),
	}
	for _, d := range []struct {
		of vmm.Subject
		vmm.Doubt
	}{{vmm.OfZone, s.Flux.Zone}, {vmm.OfServer, s.Flux.Server}} {
		if !d.Since.IsZero() {
			out.Unsure = append(out.Unsure, vmm.UnsureStatus{Of: d.of, Since: d.Since, Why: d.Why, Asked: d.Asked})
		}
	}
	if s.Armed.For != vmm.ForNothing {
		at := s.Armed.At
		out.Deadline, out.DeadlineFor = &at, string(s.Armed.For)
	}
	if s.Stop != nil {
		out.Stop = &vmm.StopStatus{By: string(s.Stop.By), Requested: s.Stop.Requested, Grace: s.Stop.Grace,
			Soft: s.Stop.Soft, Acked: notZero(s.Stop.Acked)}
	}
	if !s.Limits.Standalone && (s.Flux.Offer.UnderWay || s.Acked != 0) {
		out.Publish = &vmm.PublishStatus{Gen: s.Record.VMM.Gen, Acked: s.Acked,
			Attempts: s.Flux.Offer.Tries, LastError: s.Flux.Offer.Why}
	}
	r.notes.fill(&out, s, events)
	return out
}

// degraded is why something of the VMM that was accepted is not on disk; empty if
// all of it is. Entries given to the journal before the oldest that is not on disk
// have been written.
func (r *Runner) degraded(v *view) string {
	if v.unsaved.IsZero() {
		return ""
	}
	trouble := r.host.Journal.Trouble()
	if t, ok := errors.AsType[*ledger.TroubleError](trouble); trouble == nil || ok && t.Since.After(v.unsaved) {
		return ""
	}
	return trouble.Error()
}

func notZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// fill adds the notes to a status.
func (n *notes) fill(out *vmm.Status, s vmm.State, events bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.Phase < vmm.Ended {
		out.PID = n.pid
	}
	if silent := notZero(s.Flux.Server.Since); s.Propolis.Gen != 0 || n.lastErr != "" || silent != nil {
		out.Propolis = &vmm.PropolisStatus{State: string(s.Propolis.State), Gen: s.Propolis.Gen, Seen: s.Propolis.At,
			SilentSince: silent, LastCall: n.lastCall, LastError: cmp.Or(n.lastErr, s.Flux.Server.Why), Attempts: n.attempts}
	}
	if n.removal != nil {
		removal := *n.removal
		out.Removal = &removal
	}
	if s.Phase == vmm.Removing && n.rung != "" {
		out.WaitsFor += fmt.Sprintf("; %s is under way for %s", n.rung, time.Since(n.rungSince).Round(100*time.Millisecond))
	}
	if events {
		out.Events = slices.Clone(n.events)
		// Some are recorded later than they happened, so as not to delay a kill.
		slices.SortStableFunc(out.Events, func(a, b vmm.Event) int { return a.At.Compare(b.At) })
	}
}

// waitsFor names what has to happen next.
func waitsFor(s vmm.State) string {
	switch s.Phase {
	case vmm.Registered:
		if s.Limits.Standalone {
			return "a request to start or stop it"
		}
		return "Nexus to start or stop it"
	case vmm.Booting:
		return "its zone to be made and booted"
	case vmm.Ensuring:
		return "Propolis to serve and to take the VM"
	case vmm.Active:
		switch s.Record.VMM.State {
		case vmm.WireRunning:
			return ""
		case vmm.WireRebooting:
			return "its guest to have rebooted"
		case vmm.WireMigrating:
			return "its migration to end"
		}
		return "Propolis to report it running"
	case vmm.Stopping:
		if s.Stop.Asked && s.Stop.Acked.IsZero() {
			return "Propolis to accept the stop"
		}
		if time.Now().Before(s.SoftUntil()) {
			return "its guest to power off"
		}
		return "Propolis to report it destroyed"
	case vmm.Removing:
		return "its zone to be removed"
	case vmm.Ended:
		if s.Limits.Standalone {
			return ""
		}
		return "Nexus to acknowledge that it is " + string(s.Record.VMM.State)
	}
	return ""
}
