package vmm

func start(c *step) {
	c.s.Cold = true
	c.begin()
}

func migrateIn(c *step) {
	c.s.Src = c.in.(MigrateIn).Src
	if c.s.Record.MigrationIn == nil {
		c.remove(Failed, "asked to migrate in, but registered without a migration id")
		answer(c)
		return
	}
	c.begin()
}

func (c *step) begin() {
	c.enter(Booting)
	c.arm(ForStart, c.now.Add(c.s.Limits.StartTimeout))
	c.add(Boot{}, Answer{To: Caller})
}

func zoneBooted(c *step) {
	c.enter(Ensuring)
	c.add(Ensure{})
}

func ensured(c *step) {
	c.enter(Active)
	c.add(Watch{})
	if c.s.Cold {
		c.add(Ask{AskRun})
	}
}

func startFailed(c *step) { c.die(c.in.(StartFailed).Why) }

func reboot(c *step) {
	c.add(Hold{As: Rebooters})
	if c.s.Rebooting {
		return
	}
	c.s.Rebooting, c.s.RebootFrom = true, c.s.Propolis.Gen
	c.add(Ask{AskReboot})
}

func answeredActive(c *step) {
	in := c.in.(Answered)
	if in.Action != AskReboot || !c.s.Rebooting {
		return
	}
	c.s.Rebooting = false
	switch {
	case in.NoVM:
		// The caller learns the VMM's end like everybody else.
	case in.Refused:
		c.add(Refuse{To: Rebooters, ByPropolis: true})
		return
	case c.s.rebooted():
		// The monitor has been faster than the answer: it is over already.
	case c.s.Record.VMM.State != WireRebooting:
		c.set(WireRebooting)
		c.arm(ForReboot, c.now.Add(c.s.Limits.RebootTimeout))
		c.publish()
	}
	c.add(Answer{To: Rebooters})
}

// rebooted tells whether Propolis has been through a reboot since it was asked
// for one: Rebooting and Running are two generations, and only the last of a
// burst is observed.
func (s *State) rebooted() bool {
	return s.Propolis.State.Wire() == WireRunning && s.Propolis.Gen >= s.RebootFrom+2
}
