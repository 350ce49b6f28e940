package vmm

import "time"

// What a new process has to start again for a VMM in its ledger. Nothing is
// decided anew: an armed deadline keeps its time, unfinished work is done again,
// and the callers that waited for an answer are gone.

// resumeGenerations and one more for each second since the saved record are what a
// new process adds to the saved generation: earlier ones that could not write their
// ledger may have published later generations. An observation a second needs fewer,
// also over several restarts without a write in between.
const resumeGenerations = 1000

// skip moves the record past all generations that earlier processes can have used.
func (c *step) skip() {
	v := &c.s.Record.VMM
	v.Gen += resumeGenerations + uint64(max(c.now.Sub(v.Updated)/time.Second, 0))
}

// resume does what is the same in all phases before the end.
func (c *step) resume() {
	c.s.Flux = Flux{}
	c.s.Rebooting = false
	c.s.Record = c.s.Record.clone()
	c.skip()
	if c.s.Armed.For != ForNothing {
		// The epoch must be newer than those that the watchdog may have seen, the
		// time is the original one.
		c.arm(c.s.Armed.For, c.s.Armed.At)
	}
	if c.s.Phase != Registered {
		c.publish()
	}
}

// rebooted reports whether the host is known to have booted since.
func (c *step) rebooted() bool { return c.in.(Resumed).Rebooted }

const whyRebooted = "the host has rebooted"

func resumeIdle(c *step) {
	c.resume()
	if c.rebooted() {
		c.die(whyRebooted)
	}
}

// resumeBooting makes the zone anew: no guest has run in it, and whatever the
// earlier process has half-made of it is removed first.
func resumeBooting(c *step) {
	c.resume()
	if c.rebooted() {
		c.die(whyRebooted)
		return
	}
	c.boot()
}

// check looks whether the zone that the VM ran in still is there.
func (c *step) check() { c.add(Check{Rebooted: c.rebooted()}) }

// resumeEnsuring gives Propolis the VM again; if it has it already, it says so.
func resumeEnsuring(c *step) {
	c.resume()
	c.check()
	c.setUpAgain()
	c.ensure()
}

func resumeActive(c *step) {
	c.resume()
	c.check()
	c.setUpAgain()
	c.add(Watch{})
	if c.s.Cold && c.s.Armed.For == ForStart {
		c.add(Ask{Action: AskRun}) // a second request does no harm
	}
}

func resumeStopping(c *step) {
	c.resume()
	c.check()
	c.add(Watch{})
	if c.s.Stop.Asked && c.s.Stop.Acked.IsZero() {
		c.add(c.s.askStop())
	}
}

func resumeRemoving(c *step) {
	c.resume()
	c.removeAgain()
}

// resumeEnded publishes again: the acknowledgement may not have been saved. A
// start that the earlier process had under way may have made something of the zone
// after that was verified gone.
func resumeEnded(c *step) {
	c.s.Flux = Flux{}
	c.removeAgain()
	if c.s.Disowned {
		c.settle()
		return
	}
	c.publish()
}

func resumeForgotten(c *step) {
	c.s.Flux = Flux{}
	c.add(Forget{})
}
