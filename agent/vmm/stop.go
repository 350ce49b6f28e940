package vmm

// stopUnstarted ends a VMM whose guest has never run: there is nothing to be
// graceful about, so its removal begins at once.
func stopUnstarted(c *step) {
	in := c.in.(Stop)
	c.accept(in.By, c.s.Limits.clamp(in.Grace))
	c.remove(Destroyed, "stopped before it had started")
	answer(c)
}

func stopActive(c *step) {
	in := c.in.(Stop)
	grace := c.s.Limits.clamp(in.Grace)
	c.enter(Stopping)
	c.accept(in.By, grace)
	c.arm(ForStop, c.now.Add(grace))
	c.refuseRebooters()
	c.ask()
	answer(c)
}

// ask has Propolis asked to stop, once per VMM: the asking itself goes on until
// it is accepted.
func (c *step) ask() {
	if c.s.Stop.Asked {
		return
	}
	stop := *c.s.Stop
	stop.Asked = true
	c.s.Stop = &stop
	c.add(Ask{AskStop})
}

// stopAgain may bring a pending stop's deadline forward, never push it back.
func stopAgain(c *step) {
	in := c.in.(Stop)
	grace := c.s.Limits.clamp(in.Grace)
	if at := c.now.Add(grace); at.Before(c.s.Armed.At) {
		stop := *c.s.Stop
		stop.Grace = grace
		c.s.Stop = &stop
		c.arm(ForStop, at)
	}
	c.ask()
	answer(c)
}

// stopRemoving makes the end of a VMM that dies anyway one that was asked for.
func stopRemoving(c *step) {
	by := ByNexus
	if in, ok := c.in.(Stop); ok {
		by = in.By
	} else {
		by = ByOperator
	}
	c.accept(by, 0)
	c.s.Outcome = Destroyed
	answer(c)
}

func kill(c *step) {
	c.accept(ByOperator, 0)
	c.remove(Destroyed, "killed by the operator")
	answer(c)
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
	c.enter(Forgotten)
	c.add(Answer{To: Caller}, Forget{})
}

func (c *step) disown() {
	if !c.s.Disowned {
		c.s.Disowned = true
		c.add(Disown{})
	}
}

func answered(c *step) {
	in := c.in.(Answered)
	if in.Action != AskStop || c.s.Stop == nil || !c.s.Stop.Acked.IsZero() {
		return
	}
	stop := *c.s.Stop
	stop.Acked = c.now
	c.s.Stop = &stop
}
