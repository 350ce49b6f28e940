package vmm

import (
	"slices"
	"time"
)

// Step is the whole of a VMM's rules: what state it is in after an input, and
// what has to be done about it. It does nothing itself and depends on nothing
// but its arguments. now carries both clocks: deadlines are reckoned by its
// monotonic reading, records are stamped by its wall clock.
//
// An input that means nothing in a phase changes nothing; the table says so
// for each. Requests are always answered, refused or held.
func Step(s State, in Input, now time.Time) (State, []Effect) {
	c := step{s: s, in: in, now: now}
	if do := table[s.Phase][in.Kind()].do; do != nil {
		do(&c)
	}
	return c.s, c.out
}

// step is one call of Step under way.
type step struct {
	s   State
	in  Input
	now time.Time
	out []Effect
}

func (c *step) add(e ...Effect) { c.out = append(c.out, e...) }

func (c *step) enter(p Phase) {
	if c.s.Phase != p {
		c.s.Phase, c.s.Since = p, c.now
	}
}

// set gives the record a new generation and the state w.
func (c *step) set(w WireState) {
	c.s.Record = c.s.Record.clone()
	c.s.Record.VMM = Runtime{State: w, Gen: c.s.Record.VMM.Gen + 1, Updated: c.now.UTC()}
}

func (c *step) publish() {
	if !c.s.Disowned {
		c.add(Publish{})
	}
}

func (c *step) arm(p Purpose, at time.Time) {
	c.s.Epoch++
	c.s.Armed = Deadline{For: p, Epoch: c.s.Epoch, At: at}
	c.add(Arm{c.s.Armed})
}

func (c *step) disarm() {
	if c.s.Armed.For != ForNothing {
		c.s.Armed = Deadline{}
		c.add(Disarm{})
	}
}

// remove begins the end: from here on only the zone's removal is waited for.
// The removal itself drops the deadline, so that there is no moment at which a
// pending stop has neither.
func (c *step) remove(o Outcome, why string) {
	c.s.Armed = Deadline{}
	c.refuseRebooters()
	if c.s.Outcome == Undecided || o == Destroyed {
		c.s.Outcome, c.s.Reason = o, why
	}
	c.enter(Removing)
	c.add(Remove{})
}

// die ends a VMM that was not told to: as Destroyed if its end was asked for, else as Failed.
func (c *step) die(why string) {
	if c.s.Stop != nil {
		c.remove(Destroyed, why)
		return
	}
	c.remove(Failed, why)
}

func (c *step) refuseRebooters() {
	if c.s.Rebooting {
		c.s.Rebooting = false
		c.add(Refuse{To: Rebooters, Reason: Superseded, Detail: "the VMM is stopping"})
	}
}

// accept notes that the end was asked for and says so to Nexus, once.
func (c *step) accept(by Who, grace time.Duration) {
	if c.s.Stop == nil {
		c.s.Stop = &StopRecord{By: by, Requested: c.now, Grace: grace}
	}
	if c.s.Record.VMM.State != WireStopping {
		c.set(WireStopping)
		c.publish()
	}
}

func answer(c *step) { c.add(Answer{To: Caller}) }

func refuse(r Reason, detail string) func(*step) {
	return func(c *step) { c.add(Refuse{To: Caller, Reason: r, Detail: detail}) }
}

// Starting.

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

// Stopping.

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

// Rebooting.

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

// Observing.

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

// Ending.

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

// Ends tells which phases a VMM can be in after an input in a phase, the phase
// itself included, as the table has it.
func Ends(p Phase, k Kind) []Phase {
	to := append([]Phase{p}, table[p][k].to...)
	slices.Sort(to)
	return slices.Compact(to)
}
