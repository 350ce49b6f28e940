package sim

import (
	"slices"
	"time"

	"github.com/sledagent/sledagent/propolis/server"
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

// The phases of each side of a migration. Pause occurs twice, and so does Sync: the record
// appears in Sync before the protocol runs.
var (
	targetPhases = []server.Phase{server.Sync, server.RAMPush, server.Pause, server.RAMPushDirty, server.Pause,
		server.Device, server.RAMPull, server.ServerPhase, server.Finish}
	sourcePhases = []server.Phase{server.Sync, server.Sync, server.RAMPush, server.Pause, server.RAMPushDirty,
		server.Pause, server.Device, server.RAMPull, server.Finish}
)

// create is PUT /instance for a cold start.
func (t Times) create(fails bool) []step {
	if fails {
		return []step{{t.Create, ends(server.Failed)}}
	}
	return []step{{t.Create, (*machine).wasMade}}
}

func (t Times) start(fails bool) []step {
	if fails {
		return []step{{0, enters(server.Starting)}, {t.Boot, (*machine).runsDown}, {t.Stop, ends(server.Failed)}}
	}
	return []step{{0, enters(server.Starting)}, {t.Boot, (*machine).begins}}
}

func (t Times) restart() []step {
	return []step{{0, enters(server.Rebooting)}, {t.Boot, (*machine).runs}}
}

// halt is any kind of stop. Requests are refused from Stopped on, since the driver then
// exits.
func (t Times) halt() []step {
	return append([]step{{0, enters(server.Stopping)}}, t.stopped(t.Stop)...)
}

func (t Times) stopped(after time.Duration) []step {
	return []step{{after, exits(server.Stopped)}, {t.Stop, ends(server.Destroyed)}}
}

// immigrate is a migration target until it runs. PUT /instance is answered after the first
// step, when the peers have agreed (Sync).
func (t Times) immigrate(failsIn server.Phase) []step {
	if failsIn == server.Sync {
		return []step{{t.Create, shows(server.ErrorPhase)}, {0, ends(server.Failed)}}
	}
	script, failed := t.phases(targetPhases, failsIn)
	script[0] = step{t.Create, (*machine).arrives}
	if failed {
		return append(script, step{0, exits(server.Failed)}, step{t.Stop, ends(server.Failed)})
	}
	return append(script, step{t.Phase, (*machine).begins})
}

// emigrate is the end of a migration source, or its return to Running.
func (t Times) emigrate(failsIn server.Phase) []step {
	script, failed := t.phases(sourcePhases, failsIn)
	if failed {
		return append(script, step{0, (*machine).runs})
	}
	return append(script, step{t.Phase, exits(server.Stopping)}, step{t.Stop, ends(server.Destroyed)})
}

// phases shows each phase in turn, the first one at once, up to the end of the one that fails.
func (t Times) phases(all []server.Phase, failsIn server.Phase) (script []step, failed bool) {
	for i, p := range all {
		script = append(script, step{t.Phase, shows(p)})
		if p == failsIn && !slices.Contains(all[i+1:], p) {
			script, failed = append(script, step{t.Phase, shows(server.ErrorPhase)}), true
			break
		}
	}
	script[0].after = 0
	return script, failed
}

func enters(state server.State) func(*machine) {
	return func(m *machine) { m.vm.Publish(state) }
}

func exits(in server.State) func(*machine) {
	return func(m *machine) {
		m.vm.RunsDown()
		m.vm.Publish(in)
	}
}

func ends(in server.State) func(*machine) {
	return func(m *machine) { m.vm.Ends(in) }
}

func shows(phase server.Phase) func(*machine) {
	return func(m *machine) { m.vm.ShowPhase(phase) }
}

func (m *machine) wasMade() {
	m.made = true
	m.vm.Made()
}

// arrives is a migration target when the peers have agreed.
func (m *machine) arrives() {
	m.wasMade()
	m.vm.ShowPhase(server.Sync)
}

func (m *machine) runs()     { m.vm.Runs() }
func (m *machine) runsDown() { m.vm.RunsDown() }

// begins is the guest's first run.
func (m *machine) begins() {
	m.s.arm(&m.s.guest, true)
	m.vm.Runs()
}
