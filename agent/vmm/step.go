package vmm

import "time"

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

// ending is how a VMM ends that has died, or is ended by force: Destroyed if its end was
// requested, else Failed.
func (c *step) ending() Outcome {
	if c.s.Stop != nil {
		return Destroyed
	}
	return Failed
}

// die ends a VMM that has died.
func (c *step) die(why string) { c.remove(c.ending(), why) }

// remove begins the removal of the zone, after which the VMM has ended.
func (c *step) remove(o Outcome, why string) {
	c.decide(o, why)
	c.removeAgain()
}

// decide says how the VMM ends. The removal itself drops the deadline, so that
// there is no moment at which a pending stop has neither.
func (c *step) decide(o Outcome, why string) {
	c.s.Armed = Deadline{}
	c.refuseRebooters()
	c.refuseChangers()
	if c.s.Outcome == Undecided || o == Destroyed {
		c.s.Outcome, c.s.Reason = o, why
	}
	c.s.Flux.Zone, c.s.Flux.Server = Doubt{}, Doubt{}
	c.enter(Removing)
}

// removeAgain requests a removal that begins after everything done so far.
func (c *step) removeAgain() {
	c.s.Flux.Removal++
	c.add(Remove{N: c.s.Flux.Removal})
}

func (c *step) refuseRebooters() {
	if c.s.Rebooting {
		c.s.Rebooting = false
		c.add(Refuse{To: Rebooters, Reason: Superseded, Detail: "the VMM is stopping"})
	}
}

// accept records that the end was requested, and publishes it once.
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
