package vmm

// What a new process has to start again for a VMM that its ledger holds. It
// decides nothing anew: a deadline that was armed is armed as it was, whatever
// was being done is done again, and who waited for an answer has gone.

// rearm arms the same deadline again. Its epoch must be newer than those that
// the watchdog may have seen, its time is the original one.
func (c *step) rearm() {
	if c.s.Armed.For != ForNothing {
		c.arm(c.s.Armed.For, c.s.Armed.At)
	}
}

func resumeIdle(*step) {}

// resumeBooting makes the zone anew: no guest has run in it, and whatever the
// earlier process has half-made of it is in nobody's way.
func resumeBooting(c *step) {
	c.rearm()
	c.publish()
	c.add(Boot{})
}

// resumeEnsuring gives Propolis the VM again; if it has it already, it says so.
func resumeEnsuring(c *step) {
	c.rearm()
	c.publish()
	c.add(Adopt{}, Ensure{})
}

func resumeActive(c *step) {
	c.s.Rebooting = false
	c.rearm()
	c.publish()
	c.add(Adopt{}, Watch{})
	if c.s.Cold && c.s.Armed.For == ForStart {
		c.add(Ask{AskRun}) // to be asked twice does no harm
	}
}

func resumeStopping(c *step) {
	c.rearm()
	c.publish()
	c.add(Adopt{}, Watch{})
	if c.s.Stop.Asked && c.s.Stop.Acked.IsZero() {
		c.add(Ask{AskStop})
	}
}

func resumeRemoving(c *step) {
	c.publish()
	c.add(Remove{})
}

func resumeEnded(c *step) { c.publish() }

func resumeForgotten(c *step) { c.add(Forget{}) }

// rebootedHost ends a VMM whose host has restarted under it. What it has left
// on disk is removed like that of any other.
func rebootedHost(c *step) {
	c.s.Rebooting = false
	c.die("the host has rebooted")
}
