package vmm

import (
	"cmp"
	"time"
)

// stopUnstarted ends a VMM whose guest has never run: there is nothing to be
// graceful about, so its removal begins at once.
func stopUnstarted(c *step) {
	in := c.in.(Stop)
	c.accept(in.By, c.s.Limits.Grace(in))
	c.remove(Destroyed, "stopped before it had started")
	answer(c)
}

func stopActive(c *step) {
	in := c.in.(Stop)
	grace := c.s.Limits.Grace(in)
	c.enter(Stopping)
	c.accept(in.By, grace)
	c.arm(ForStop, c.now.Add(grace))
	c.refuseRebooters()
	c.ask(in)
	answer(c)
}

// ask has a stop forwarded to Propolis: the first, and each that ends the guest sooner
// than the one before. The request is repeated until it is accepted.
func (c *step) ask(in Stop) {
	soft := c.s.Limits.Pressed(in.Soft)
	if c.s.Stop.Asked && !c.sooner(soft) {
		return
	}
	stop := *c.s.Stop
	stop.Asked, stop.Acked, stop.Soft = true, time.Time{}, soft
	if soft > 0 {
		stop.Grace = c.s.Armed.At.Sub(c.now)
	}
	c.s.Stop = &stop
	c.add(c.s.askStop())
}

// stopAgain may bring a pending stop's deadline forward, never push it back.
func stopAgain(c *step) {
	in := c.in.(Stop)
	grace := c.s.Limits.Grace(in)
	if at := c.now.Add(grace); at.Before(c.s.Armed.At) {
		stop := *c.s.Stop
		stop.Grace, stop.Soft = grace, max(c.s.SoftUntil().Sub(c.now), 0)
		c.s.Stop = &stop
		c.arm(ForStop, at)
	}
	c.ask(in)
	answer(c)
}

// stopRemoving makes the end of a VMM that is being removed a requested one.
func stopRemoving(c *step) {
	by := c.killer()
	if in, ok := c.in.(Stop); ok {
		by = in.By
	}
	c.accept(by, 0)
	c.s.Outcome = Destroyed
	answer(c)
}

func kill(c *step) {
	by := c.killer()
	c.accept(by, 0)
	c.remove(Destroyed, "killed by the "+string(by))
	answer(c)
}

// killer is who asked for a kill.
func (c *step) killer() Who {
	in, _ := c.in.(Kill)
	return cmp.Or(in.By, ByOperator)
}

// unregister hands the VMM's state to Nexus. A stop that was accepted before
// still ends it as Destroyed.
func unregister(c *step) {
	c.disown()
	c.die("unregistered")
	c.add(Hold{As: Unregisterers})
}

func unregisterRemoving(c *step) {
	c.disown()
	c.add(Hold{As: Unregisterers})
}

func unregisterEnded(c *step) {
	c.disown()
	answer(c)
	c.settle()
}

func (c *step) disown() {
	if !c.s.Disowned {
		c.s.Disowned = true
		c.add(Disown{})
	}
}
