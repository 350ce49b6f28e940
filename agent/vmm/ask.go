package vmm

import "time"

// askAgainAfter is the pause before a request is repeated that Propolis refused
// because it had no VM.
const askAgainAfter = time.Second

// present clears the doubt about the zone or the server: it exists.
func present(c *step) { *c.doubt(c.in.(Present).Of) = Doubt{} }

// unsure records that a look at the zone or the server gave no answer. No deadline
// changes and nothing ends because of it.
func unsure(c *step) {
	in := c.in.(Unsure)
	c.doubt(in.Of).ask(in.Why, c.now)
}

// ask records one more question without an answer.
func (d *Doubt) ask(why string, now time.Time) {
	if d.Since.IsZero() {
		d.Since = now
	}
	d.Why = why
	d.Asked++
}

func (c *step) doubt(of Subject) *Doubt {
	if of == OfZone {
		return &c.s.Flux.Zone
	}
	return &c.s.Flux.Server
}

// zoneChanged has the zone looked at: a hint proves nothing.
func zoneChanged(c *step) { c.add(Check{How: c.in.(ZoneChanged).How}) }

func zoneEnded(c *step) { c.die(c.in.(ZoneEnded).Why) }

// lost ends a VMM whose server has no VM, or whose server has ended. A VM is watched
// only after its server has accepted it, so a monitor that reports no VM proves that
// the VM is lost, even if it was never seen running.
func lost(c *step) { c.die(c.in.(Lost).Why) }

// notYet reports whether Propolis may still be creating the VM. Until it has, it
// answers state changes as if it had no VM, unlike its monitor.
func (s *State) notYet() bool {
	return s.Propolis.State == "" || s.Propolis.State == PropolisCreating
}

// hasRun reports whether the guest has run on this sled; before that there is
// nothing to reboot.
func (s *State) hasRun() bool {
	switch s.Propolis.State {
	case "", PropolisCreating, PropolisStarting:
		return false
	case PropolisMigrating:
		return s.Cold || s.Record.MigrationIn == nil || s.Record.MigrationIn.State == MigrationCompleted
	}
	return true
}

// askAgain repeats a request that Propolis refused because it had no VM, if it may
// still be creating it. Otherwise the VM is ending, and the monitor reports that.
func (c *step) askAgain(in Answered) {
	if !in.NoVM || !c.s.notYet() {
		return
	}
	ask := Ask{Action: in.Action}
	if in.Action == AskStop {
		ask = c.s.askStop()
	}
	ask.After = askAgainAfter
	c.add(ask)
}

func answeredActive(c *step) {
	in := c.in.(Answered)
	switch {
	case in.Action == AskRun:
		c.askAgain(in)
	case in.Action == AskReboot && c.s.Rebooting:
		c.s.Rebooting = false
		c.answerReboot(in)
	}
}

func (c *step) answerReboot(in Answered) {
	switch {
	case in.NoVM:
		// The VM has ended; the monitor reports it.
	case in.Refused:
		c.add(Refuse{To: Rebooters, ByPropolis: true})
		return
	case c.s.rebooted():
		// The monitor has already reported the reboot as finished.
	case c.s.Record.VMM.State != WireRebooting:
		c.set(WireRebooting)
		c.armReboot(c.s.RebootSoft)
		c.publish()
	case c.now.Add(c.s.Limits.rebootGrace(c.s.RebootSoft)).Before(c.s.Armed.At):
		c.armReboot(c.s.RebootSoft) // it has interrupted a soft one
	}
	c.add(Answer{To: Rebooters})
}

// rebooted reports whether Propolis has completed a reboot since the request:
// Rebooting and Running are two generations, of which only the last may have been
// observed.
func (s *State) rebooted() bool {
	return s.Propolis.State.Wire() == WireRunning && s.Propolis.Gen >= s.RebootFrom+2
}

// answeredStopping handles Propolis's answer to a stop. If the connection is
// refused, the host is asked whether the server has ended: if so, there is nothing
// to wait for.
func answeredStopping(c *step) {
	in := c.in.(Answered)
	switch {
	case in.Action != AskStop || c.s.Stop == nil:
	case in.Unreachable:
		c.add(Check{Server: true})
	case in.NoVM:
		c.askAgain(in)
	case in.Until.After(c.s.SoftUntil()):
		// It accepts a soft stop that the pending one interrupts.
	case c.s.Stop.Acked.IsZero():
		stop := *c.s.Stop
		stop.Acked = c.now
		c.s.Stop = &stop
	}
}
