package sim

import (
	"slices"
	"time"
)

// Times are the durations of a VM's operations. With the zero value everything happens at
// once, and a monitor sees only the final state.
type Times struct {
	// Create is the duration of PUT /instance.
	Create time.Duration
	// Boot is the duration of Starting and Rebooting.
	Boot time.Duration
	// Stop is the duration of Stopping, and then of the release of the VM's objects.
	Stop time.Duration
	// Phase is the duration of each phase of a migration.
	Phase time.Duration
}

// DefaultTimes are suitable for a demo.
func DefaultTimes() Times {
	return Times{Boot: 50 * time.Millisecond, Stop: 50 * time.Millisecond, Phase: 20 * time.Millisecond}
}

// create is PUT /instance for a cold start.
func (t Times) create(fails bool) []step {
	if fails {
		return []step{{after: t.Create, then: (*vm).notMade, state: Failed}}
	}
	return []step{{after: t.Create, then: (*vm).wasMade}}
}

func (t Times) start(fails bool) []step {
	begin := step{then: func(v *vm) { v.booting = true }, state: Starting}
	if fails {
		return []step{begin, {after: t.Boot, then: (*vm).runsDown}, {after: t.Stop, then: (*vm).ends, state: Failed}}
	}
	return []step{begin, {after: t.Boot, then: (*vm).runs, state: Running}}
}

func (t Times) restart() []step {
	return []step{{state: Rebooting}, {after: t.Boot, then: func(v *vm) { v.rebootQueued = false }, state: Running}}
}

// halt is any kind of stop. Requests are refused from Stopped on, since the driver then
// exits.
func (t Times) halt() []step {
	return append([]step{{state: Stopping}}, t.stopped(t.Stop)...)
}

func (t Times) stopped(after time.Duration) []step {
	return []step{{after: after, then: (*vm).runsDown, state: Stopped}, {after: t.Stop, then: (*vm).ends, state: Destroyed}}
}

// immigrate is a migration target until it runs. PUT /instance is answered after the first
// step, when the peers have agreed (Sync).
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

// emigrate is the end of a migration source, or its return to Running.
func (t Times) emigrate(failsIn Phase) []step {
	script, failed := t.phases(sourcePhases, failsIn)
	script[0].after, script[0].then = 0, func(v *vm) { v.leaving = true }
	if failed {
		return append(script, step{then: (*vm).stays, state: Running})
	}
	return append(script,
		step{after: t.Phase, then: (*vm).runsDown, state: Stopping},
		step{after: t.Stop, then: (*vm).ends, state: Destroyed})
}

// phases shows each phase in turn, up to the end of the one that fails.
func (t Times) phases(all []Phase, failsIn Phase) (script []step, failed bool) {
	for i, p := range all {
		script = append(script, step{after: t.Phase, phase: p, state: Migrating})
		if p == failsIn && !slices.Contains(all[i+1:], p) {
			return append(script, step{after: t.Phase, phase: ErrorPhase, state: Migrating}), true
		}
	}
	return script, false
}

// next makes the oldest request of the queue the script.
func (v *vm) next() bool {
	if v.stage != active || len(v.pending) == 0 {
		return false
	}
	r := v.pending[0]
	v.pending = v.pending[1:]
	t, f := v.s.times, &v.s.faults
	switch r {
	case run:
		v.script = t.start(f.failStart)
	case stop:
		v.script = t.halt()
	case reboot:
		v.script = t.restart()
	case migrateOut:
		v.script = t.emigrate(f.failMigration)
	}
	return true
}

func (v *vm) wasMade() {
	v.stage = active
	v.s.wake()
}

func (v *vm) notMade() {
	v.unmade = true
	v.ends()
}

func (v *vm) runs() {
	v.booting = false
	if v.standing == startPending {
		v.standing = started
	}
	v.s.arm(&v.s.guest, true)
}

func (v *vm) stays() {
	if v.standing == migrateOutQueued {
		v.standing = started
	}
}

func (v *vm) runsDown() {
	v.stage, v.standing, v.booting, v.pending = rundown, over, false, nil
}

func (v *vm) ends() {
	v.runsDown()
	v.stage = ended
}
