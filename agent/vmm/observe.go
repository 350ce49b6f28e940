package vmm

// observe takes down what Propolis reported: every observation is a generation.
func (c *step) observe(w WireState) {
	in := c.in.(Observed)
	c.s.Propolis = PropolisSeen{State: in.State, Gen: in.Gen, At: c.now}
	c.set(w)
	c.s.Record.MigrationIn = c.s.Record.MigrationIn.observe(in.MigrationIn, c.now)
	c.s.Record.MigrationOut = c.s.Record.MigrationOut.observe(in.MigrationOut, c.now)
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
		c.observe(WireRunning)
		c.disarm()
	case WireRebooting:
		c.observe(WireRebooting)
		if c.s.Armed.For != ForReboot {
			c.arm(ForReboot, c.now.Add(c.s.Limits.RebootTimeout))
		}
	default: // starting, migrating
		c.observe(in.State.Wire())
	}
}

// guestStops arms the deadline of a guest that halts itself: nobody has asked
// for it, and it must end all the same.
func (c *step) guestStops() {
	grace := c.s.Limits.clamp(nil)
	c.enter(Stopping)
	c.s.Stop = &StopRecord{By: ByGuest, Requested: c.now, Grace: grace}
	c.refuseRebooters()
	c.arm(ForStop, c.now.Add(grace))
}

// observedStopping keeps the wire's state at stopping whatever Propolis says: a
// stale Running would only tell Nexus that the stop was lost.
func observedStopping(c *step) {
	c.observe(WireStopping)
	switch in := c.in.(Observed); in.State.Wire() {
	case WireDestroyed:
		c.remove(Destroyed, "Propolis reported it destroyed")
	case WireFailed:
		c.remove(Destroyed, "Propolis reported it failed while it was stopping")
	}
}

func lost(c *step)      { c.die(c.in.(Lost).Why) }
func zoneEnded(c *step) { c.die(c.in.(ZoneEnded).Why) }

// expired takes up what the watchdog has begun. An epoch that is not armed any
// more belongs to a deadline that was disarmed or replaced.
func expired(c *step) {
	if c.s.Armed.For == ForNothing || c.in.(Expired).Epoch != c.s.Armed.Epoch {
		return
	}
	c.die(string(c.s.Armed.For) + " deadline passed")
}

// zoneGoneUnasked meets a zone that somebody else has removed. The removal is
// gone through all the same, for what belongs to the zone beside itself.
func zoneGoneUnasked(c *step) { c.die("the zone was removed") }

func zoneGone(c *step) {
	c.set(c.s.Outcome.wire())
	c.s.Record.MigrationIn = c.s.Record.MigrationIn.end(c.now)
	c.s.Record.MigrationOut = c.s.Record.MigrationOut.end(c.now)
	if c.s.Disowned {
		c.enter(Forgotten)
		c.add(Answer{To: Unregisterers}, Forget{})
		return
	}
	c.enter(Ended)
	c.publish()
}

func acked(c *step) {
	if c.in.(Acked).Gen == c.s.Record.VMM.Gen {
		c.enter(Forgotten)
		c.add(Forget{})
	}
}

func gaveUp(c *step) {
	if c.in.(GaveUp).Gen == c.s.Record.VMM.Gen {
		c.enter(Forgotten)
		c.add(Forget{})
	}
}
