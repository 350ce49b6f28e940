package runner

import (
	"fmt"
	"slices"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Status says all there is to say of the VMM; its events only if asked for.
func (r *Runner) Status(events bool) vmm.Status {
	v := r.view.Load()
	if v == nil {
		v = &view{state: vmm.State{Record: vmm.Record{VMM: r.reg.Runtime}}, degraded: "registration is not durable yet"}
	}
	s := v.state
	out := vmm.Status{
		ID: r.id, InstanceID: r.reg.InstanceID, Hostname: r.reg.Hostname, Zone: r.zone,
		Addr: r.reg.PropolisAddr.String(), Record: s.Record, Phase: s.Phase.String(), Since: s.Since,
		WaitsFor: waitsFor(s), Outcome: s.Outcome.String(), Reason: s.Reason, Disowned: s.Disowned,
		Degraded: v.degraded,
	}
	if s.Armed.For != vmm.ForNothing {
		at := s.Armed.At
		out.Deadline, out.DeadlineFor = &at, string(s.Armed.For)
	}
	if s.Stop != nil {
		out.Stop = &vmm.StopStatus{By: string(s.Stop.By), Requested: s.Stop.Requested, Grace: s.Stop.Grace,
			Acked: notZero(s.Stop.Acked)}
	}
	if p, ok := r.host.Publisher.Status(r.id); ok {
		out.Publish = &p
	}
	r.notes.fill(&out, s, events)
	return out
}

func notZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// fill adds to a status what the effects have noted.
func (n *notes) fill(out *vmm.Status, s vmm.State, events bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	out.PID = n.pid
	if s.Propolis.Gen != 0 || n.lastErr != "" || n.silent != nil {
		out.Propolis = &vmm.PropolisStatus{State: string(s.Propolis.State), Gen: s.Propolis.Gen, Seen: s.Propolis.At,
			SilentSince: n.silent, LastCall: n.lastCall, LastError: n.lastErr, Attempts: n.attempts}
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
		// Some are noted after the fact, so as not to delay what they tell of.
		slices.SortStableFunc(out.Events, func(a, b vmm.Event) int { return a.At.Compare(b.At) })
	}
}

// waitsFor names what has to happen next.
func waitsFor(s vmm.State) string {
	switch s.Phase {
	case vmm.Registered:
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
		return "Propolis to report it destroyed"
	case vmm.Removing:
		return "its zone to be removed"
	case vmm.Ended:
		return "Nexus to acknowledge that it is " + string(s.Record.VMM.State)
	}
	return ""
}
