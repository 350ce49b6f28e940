package sim

import (
	"slices"
	"time"
)

// Times say how long a VM takes for what it does. The zero value does all at
// once: a monitor then sees only where it ended.
type Times struct {
	// Create is how long PUT /instance makes objects.
	Create time.Duration
	// Boot is how long Starting and Rebooting last.
	Boot time.Duration
	// Stop is how long Stopping lasts, and then the release of the VM's objects.
	Stop time.Duration
	// Phase is how long each phase of a migration lasts.
	Phase time.Duration
}

// DefaultTimes make a demo look alive.
func DefaultTimes() Times {
	return Times{Boot: 50 * time.Millisecond, Stop: 50 * time.Millisecond, Phase: 20 * time.Millisecond}
}

// create is PUT /instance for a VM that starts cold.
func (t Times) create(fails bool) []step {
	if fails {
		return []step{{after: t.Create, then: (*vm).notMade, state: Failed}}
	}
	return []step{{after: t.Create, then: (*vm).wasMade}}
}

func (t Times) start(fails bool) []step {
	begin := step{then: (*vm).boots, state: Starting}
	if fails {
		return []step{begin, {after: t.Boot, then: (*vm).runsDown}, {after: t.Stop, then: (*vm).ends, state: Failed}}
	}
	return []step{begin, {after: t.Boot, then: (*vm).runs, state: Running}}
}

func (t Times) restart() []step {
	return []step{{state: Rebooting}, {after: t.Boot, then: (*vm).rebooted, state: Running}}
}

// halt is a stop, whoever wants it. Requests are refused from Stopped on: the
// driver has nothing more to do and exits.
func (t Times) halt() []step {
	return append([]step{{state: Stopping}}, t.stopped(t.Stop)...)
}

// haltWhileStarting skips Stopping: there is no guest to be stopped.
func (t Times) haltWhileStarting() []step { return t.stopped(0) }

func (t Times) stopped(after time.Duration) []step {
	return []step{{after: after, then: (*vm).runsDown, state: Stopped}, {after: t.Stop, then: (*vm).ends, state: Destroyed}}
}

// immigrate is the life of a migration target until it runs. PUT /instance is
// answered after the first step, when the peers have agreed (Sync).
func (t Times) immigrate(failsIn Phase) []step {
	if failsIn == Sync {
		return []step{{after: t.Create, phase: ErrorPhase, state: Migrating}, {then: (*vm).notMade, state: Failed}}
	}
	script, failed := t.phases(targetPhases, failsIn)
	script[0].after, script[0].then = t.Create, (*vm).wasMade
	if failed {
		return append(script, step{then: (*vm).runsDown, state: Failed}, step{after: t.Stop, then: (*vm).ends, state: Failed})
	}
	return append(script, step{after: t.Phase, then: (*vm).runs, state: Running})
}

// emigrate is the end of a migration source, or its return to the guest.
func (t Times) emigrate(failsIn Phase) []step {
	script, failed := t.phases(sourcePhases, failsIn)
	script[0].after, script[0].then = 0, (*vm).leaves
	if failed {
		return append(script, step{then: (*vm).stays, state: Running})
	}
	return append(script,
		step{after: t.Phase, then: (*vm).runsDown, state: Stopping},
		step{after: t.Stop, then: (*vm).ends, state: Destroyed})
}

// phases shows one phase after the other, up to the end of the one it fails in.
func (t Times) phases(all []Phase, failsIn Phase) (script []step, failed bool) {
	for i, p := range all {
		script = append(script, step{after: t.Phase, phase: p, state: Migrating})
		if p == failsIn && !slices.Contains(all[i+1:], p) {
			return append(script, step{after: t.Phase, phase: ErrorPhase, state: Migrating}), true
		}
	}
	return script, false
}

// next takes the oldest request from the queue and makes it the script.
func (v *vm) next() bool {
	if v.life != active || len(v.pending) == 0 {
		return false
	}
	r := v.pending[0]
	v.pending = v.pending[1:]
	f := v.s.faults
	switch r {
	case run:
		v.script = v.s.times.start(f.failStart)
	case stop:
		v.script = v.s.times.halt()
	case reboot:
		v.script = v.s.times.restart()
	case migrateOut:
		v.script = v.s.times.emigrate(f.failMigration)
	}
	return true
}

func (v *vm) wasMade() {
	v.life = active
	v.wake()
}

func (v *vm) notMade() {
	v.unmade = true
	v.ends()
}

func (v *vm) boots() { v.booting = true }

func (v *vm) runs() {
	v.booting = false
	if v.standing == startPending {
		v.standing = started
	}
	v.s.armGuestTimers()
}

func (v *vm) rebooted() { v.rebootQueued = false }

func (v *vm) leaves() { v.leaving = true }

func (v *vm) stays() {
	if v.standing == migrateOutQueued {
		v.standing = started
	}
}

func (v *vm) runsDown() {
	v.life, v.standing, v.booting, v.pending = rundown, over, false, nil
}

func (v *vm) ends() {
	v.runsDown()
	v.life = ended
}
