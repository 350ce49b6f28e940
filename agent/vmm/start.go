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
	c.boot()
	answer(c)
}

func (c *step) boot() {
	c.s.Flux.Starting = true
	c.add(Boot{})
}

func (c *step) ensure() {
	c.s.Flux.Starting = true
	c.add(Ensure{})
}

func zoneBooted(c *step) {
	c.enter(Ensuring)
	c.setUp()
	c.ensure()
}

func ensured(c *step) {
	c.s.Flux.Starting = false
	c.enter(Active)
	c.add(Watch{})
	if c.s.Cold {
		c.add(Ask{Action: AskRun})
	}
}

func startFailed(c *step) {
	c.s.Flux.Starting = false
	c.die(c.in.(StartFailed).Why)
}

// unsaved takes back a start that was refused because it could not be saved.
func unsaved(c *step) {
	c.s.Flux.Starting = false
	c.disarm()
	c.s.Cold, c.s.Src = false, ""
	c.enter(Registered)
}

// unsavedLate: a later request has ended the VMM; nothing was started.
func unsavedLate(c *step) {
	c.s.Flux.Starting = false
	c.forgetIfOver()
}

// startReturned: the removal may have looked before the start made its last bit
// of the zone, so one more follows.
func startReturned(c *step) {
	c.s.Flux.Starting = false
	c.removeAgain()
}

func reboot(c *step) {
	if !c.s.hasRun() {
		refuse(TooEarly, "it has not run yet")(c)
		return
	}
	c.add(Hold{As: Rebooters})
	soft := c.s.Limits.Pressed(c.in.(Reboot).Soft)
	if c.s.Rebooting && soft >= c.s.RebootSoft {
		return
	}
	c.s.Rebooting, c.s.RebootFrom, c.s.RebootSoft = true, c.s.Propolis.Gen, soft
	ask := Ask{Action: AskReboot}
	if soft > 0 {
		ask.Until = c.now.Add(soft)
	}
	c.add(ask)
}
