package vmm

// observe records what Propolis reported: every observation is a new generation.
func (c *step) observe(w WireState) {
	in := c.in.(Observed)
	c.s.Propolis = PropolisSeen{State: in.State, Gen: in.Gen, At: c.now}
	c.s.Flux.Server = Doubt{}
	c.set(w)
	into, out := c.s.Record.sides(in.MigrationIn, in.MigrationOut)
	c.s.Record.MigrationIn = c.s.Record.MigrationIn.observe(into, c.now)
	c.s.Record.MigrationOut = c.s.Record.MigrationOut.observe(out, c.now)
	c.publish()
}

func observedActive(c *step) {
	in := c.in.(Observed)
	switch in.State.Wire() {
	case WireDestroyed:
		c.observe(WireStopping)
		c.remove(Destroyed, "Propolis reported it destroyed")
	case WireFailed:
		c.observe(c.s.Record.VMM.State)
		c.die("Propolis reported it failed")
	case WireStopping:
		c.observe(WireStopping)
		c.guestStops()
	case WireRunning:
		if c.s.Armed.For == ForReboot && in.Gen == c.s.Propolis.Gen {
			c.observe(WireRebooting) // seen again by a new process: it has not rebooted yet
			return
		}
		was := c.s.Record.VMM.State
		c.observe(WireRunning)
		c.disarm()
		if was == WireRebooting || c.s.Rebooting && c.s.rebooted() {
			c.setUp()
		}
	case WireRebooting:
		c.observe(WireRebooting)
		if c.s.Armed.For != ForReboot {
			c.armReboot(0)
		}
	default: // starting, migrating
		c.observe(in.State.Wire())
	}
}

// guestStops arms a deadline for a guest that halts itself: nothing else would
// end a VMM that does not finish stopping.
func (c *step) guestStops() {
	grace := c.s.Limits.Grace(Stop{})
	c.enter(Stopping)
	c.s.Stop = &StopRecord{By: ByGuest, Requested: c.now, Grace: grace}
	c.refuseRebooters()
	c.arm(ForStop, c.now.Add(grace))
}

// observedStopping keeps the published state at stopping, whatever Propolis says:
// a stale Running would make Nexus believe that the stop was lost.
func observedStopping(c *step) {
	c.observe(WireStopping)
	switch in := c.in.(Observed); in.State.Wire() {
	case WireDestroyed:
		c.remove(Destroyed, "Propolis reported it destroyed")
	case WireFailed:
		c.remove(Destroyed, "Propolis reported it failed while it was stopping")
	}
}

// expired records that the watchdog has begun a removal. The watchdog alone
// decides which deadlines count.
func expired(c *step) {
	why := string(c.s.Armed.For) + " deadline passed"
	if c.s.Armed.For == ForNothing {
		why = "deadline passed"
	}
	c.disarm() // another may have been armed before this report arrived
	c.decide(c.ending(), why)
	c.begun()
}

// begun counts a removal that the watchdog has begun by itself.
func (c *step) begun() { c.s.Flux.Removal = max(c.s.Flux.Removal, c.in.(Expired).N) }

func expiredRemoving(c *step) { c.begun() }

// zoneGone ends the VMM once the newest removal has verified that the zone is
// gone: an earlier one may have looked too early.
func zoneGone(c *step) {
	if !c.newest() {
		return
	}
	c.set(c.s.Outcome.wire())
	c.s.Record.MigrationIn = c.s.Record.MigrationIn.end(c.now)
	c.s.Record.MigrationOut = c.s.Record.MigrationOut.end(c.now)
	c.enter(Ended)
	c.s.Flux.Offer = Offer{UnderWay: c.s.Flux.Offer.UnderWay}
	if c.s.Disowned {
		c.add(Answer{To: Unregisterers})
		c.settle()
		return
	}
	c.publish()
}

// newest records which removal has ended, and reports whether it is the newest
// that was requested or begun.
func (c *step) newest() bool {
	f := &c.s.Flux
	f.Gone = max(f.Gone, c.in.(ZoneGone).N)
	return f.Gone >= f.Removal
}

// zoneGoneAgain: what a start has made too late is gone, too.
func zoneGoneAgain(c *step) {
	if c.newest() {
		c.forgetIfOver()
	}
}

// slept brings a deadline forward by the time for which the host was suspended,
// in which the clock that it is reckoned by stood still.
func slept(c *step) {
	if c.s.Armed.For != ForNothing {
		c.arm(c.s.Armed.For, c.s.Armed.At.Add(-c.in.(Slept).For))
	}
}
