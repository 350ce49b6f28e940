package vmm

import "time"

// Heard is what Nexus's answer to an offer means.
type Heard int

const (
	// HeardNothing: no answer, or one that says nothing of the VMM.
	HeardNothing Heard = iota
	// HeardError: Nexus failed on the record (500). It answers so too for a VMM or
	// a migration that it does not know.
	HeardError
	// HeardAck: Nexus has the record.
	HeardAck
	// HeardUnknown: Nexus says that it does not know the VMM, or any more.
	HeardUnknown
	// HeardRefused: Nexus will not have this record.
	HeardRefused
)

const (
	// unknownFor is for how long Nexus has to deny a VMM before its terminal
	// record is given up: replicas lag, and what answers during a roll-out may
	// not be Nexus.
	unknownFor = 5 * time.Minute
	// errorsForBare is after how many errors a terminal record is offered
	// without its migration records: Nexus fails on the whole record for the sake
	// of a migration that it does not know.
	errorsForBare = 5
)

// Offer is how the publication of the newest record goes.
type Offer struct {
	// UnderWay is set while a Publish has not reported: at most one is. What
	// becomes newer meanwhile is offered next.
	UnderWay bool
	// Tries counts the offers since the last acknowledgement, Errors those
	// among them on which Nexus failed. Why is what came of the newest.
	Tries, Errors int
	Why           string
	// Bare is set while the record is offered without its migration records.
	Bare bool
	// Since is when this process offered the terminal record first, Unknown when
	// Nexus denied the VMM first. Both are zero before that.
	Since, Unknown time.Time
}

// publish offers the newest record, unless an offer is under way, after which
// it follows by itself.
func (c *step) publish() {
	if !c.s.Disowned && !c.s.Flux.Offer.UnderWay {
		c.offer(0)
	}
}

func (c *step) offer(after time.Duration) {
	o := &c.s.Flux.Offer
	if c.s.Record.VMM.State.Terminal() && o.Since.IsZero() {
		o.Since = c.now
	}
	if c.s.Limits.Standalone {
		if o.Since.IsZero() {
			return
		}
		// It is sent nowhere; its only purpose is that the VMM is forgotten some day.
		after = max(c.s.Limits.GiveUpAfter-c.now.Sub(o.Since), 0)
	}
	o.UnderWay = true
	effect := Publish{After: after}
	if o.Bare {
		effect.Bare = c.s.Record.VMM.Gen
	}
	c.add(effect)
}

// published decides what follows from Nexus's answer.
func published(c *step) {
	in := c.in.(Published)
	o := &c.s.Flux.Offer
	o.UnderWay = false
	switch {
	case c.s.Disowned:
	case in.Heard == HeardAck:
		c.acked(in)
	case in.Gen < c.s.Record.VMM.Gen:
		// A newer record replaces it.
		c.missed(in)
		c.offer(c.pause())
	case c.s.Record.VMM.State.Terminal():
		c.terminalMissed(in)
	default:
		c.livingMissed(in)
	}
}

// livingMissed handles an unacknowledged record of a VMM that has not ended. It is
// offered until Nexus answers. A refused one is offered once more without its
// migration records, which may be the reason, and is then dropped: the next
// record follows.
func (c *step) livingMissed(in Published) {
	c.missed(in)
	rejected := in.Heard == HeardRefused || in.Heard == HeardUnknown
	c.s.Flux.Offer.Bare = rejected && c.migrates() && !in.Bare
	if !rejected || c.s.Flux.Offer.Bare {
		c.offer(c.pause())
	}
}

func (c *step) migrates() bool {
	return c.s.Record.MigrationIn != nil || c.s.Record.MigrationOut != nil
}

func (c *step) acked(in Published) {
	c.s.Acked = max(c.s.Acked, in.Gen)
	c.s.Flux.Offer = Offer{Since: c.s.Flux.Offer.Since}
	switch {
	case in.Gen < c.s.Record.VMM.Gen:
		c.offer(0)
	case c.s.Phase == Ended:
		c.settle()
	}
}

// missed records an offer that was not acknowledged.
func (c *step) missed(in Published) {
	o := &c.s.Flux.Offer
	o.Tries++
	o.Why = in.Why
	if in.Heard == HeardError {
		o.Errors++
	}
	o.Bare = false
}

// terminalMissed handles an unacknowledged terminal record. It is offered until it
// is acknowledged, or Nexus has denied the VMM for unknownFor, or GiveUpAfter has
// passed.
func (c *step) terminalMissed(in Published) {
	c.missed(in)
	o := &c.s.Flux.Offer
	if o.Since.IsZero() {
		o.Since = c.now // the offer under way took the record up when it had ended
	}
	if in.Heard == HeardUnknown && o.Unknown.IsZero() {
		o.Unknown = c.now
	}
	denied := in.Heard == HeardUnknown && c.now.Sub(o.Unknown) >= unknownFor
	if c.s.Phase == Ended && (denied || c.now.Sub(o.Since) >= c.s.Limits.GiveUpAfter) {
		c.settle()
		return
	}
	rejected := in.Heard == HeardRefused || in.Heard == HeardUnknown || o.Errors >= errorsForBare
	o.Bare = rejected && c.migrates() && !in.Bare
	left := max(c.s.Limits.GiveUpAfter-c.now.Sub(o.Since), 0)
	c.offer(min(c.pause(), left))
}

// pause is how long the next offer waits: it doubles with every one in a row
// that was not acknowledged.
func (c *step) pause() time.Duration {
	l := c.s.Limits
	p := l.RetryInitial
	for range c.s.Flux.Offer.Tries - 1 {
		if p *= 2; p >= l.RetryMax {
			return l.RetryMax
		}
	}
	return min(p, l.RetryMax)
}

// settle ends the publication: the VMM is forgotten when no effect of it is under
// way.
func (c *step) settle() {
	c.s.Flux.Settled = true
	c.forgetIfOver()
}

// forgetIfOver forgets a VMM whose publication has ended, once no start and no
// removal of it is under way.
func (c *step) forgetIfOver() {
	f := c.s.Flux
	if c.s.Phase == Ended && f.Settled && !f.Starting && f.Gone == f.Removal {
		c.enter(Forgotten)
		c.add(Forget{})
	}
}
