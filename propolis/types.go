package propolis

import "github.com/google/uuid"

// A State is a VM's state in Propolis's words (InstanceState).
type State string

// The states that Propolis reports. A VM that was stopped passes Stopped while
// its objects are still being released, and only Destroyed is the end.
const (
	StateCreating  State = "Creating"
	StateStarting  State = "Starting"
	StateRunning   State = "Running"
	StateStopping  State = "Stopping"
	StateStopped   State = "Stopped"
	StateRebooting State = "Rebooting"
	StateMigrating State = "Migrating"
	StateRepairing State = "Repairing"
	StateFailed    State = "Failed"
	StateDestroyed State = "Destroyed"
)

func (s State) known() bool {
	switch s {
	case StateCreating, StateStarting, StateRunning, StateStopping, StateStopped, StateRebooting,
		StateMigrating, StateRepairing, StateFailed, StateDestroyed:
		return true
	}
	return false
}

// final tells whether Propolis reports nothing more after this state.
func (s State) final() bool { return s == StateDestroyed || s == StateFailed }

// A MigrationPhase is how far one live migration has come (MigrationState).
type MigrationPhase string

// The phases of a live migration. PhaseFinish and PhaseError are final.
const (
	PhaseSync         MigrationPhase = "Sync"
	PhaseRamPush      MigrationPhase = "RamPush"
	PhasePause        MigrationPhase = "Pause"
	PhaseRamPushDirty MigrationPhase = "RamPushDirty"
	PhaseDevice       MigrationPhase = "Device"
	PhaseResume       MigrationPhase = "Resume"
	PhaseRamPull      MigrationPhase = "RamPull"
	PhaseServer       MigrationPhase = "Server"
	PhaseFinish       MigrationPhase = "Finish"
	PhaseError        MigrationPhase = "Error"
)

func (p MigrationPhase) known() bool {
	switch p {
	case PhaseSync, PhaseRamPush, PhasePause, PhaseRamPushDirty, PhaseDevice, PhaseResume,
		PhaseRamPull, PhaseServer, PhaseFinish, PhaseError:
		return true
	}
	return false
}

// A Migration is the latest attempt to migrate in one direction.
type Migration struct {
	ID    uuid.UUID
	Phase MigrationPhase
}

// An Observation is what Propolis said of its VM at one moment. It is not
// changed once made.
type Observation struct {
	// Gen rises with each change that Propolis publishes, from 1 for each VM.
	// Values that were overwritten before anybody asked are never seen.
	Gen   uint64
	State State
	// MigrationIn and MigrationOut are nil if there was no such migration. They
	// stay after the migration has ended.
	MigrationIn, MigrationOut *Migration
}

func (o Observation) equal(p Observation) bool {
	return o.Gen == p.Gen && o.State == p.State &&
		o.MigrationIn.equal(p.MigrationIn) && o.MigrationOut.equal(p.MigrationOut)
}

func (m *Migration) equal(n *Migration) bool {
	if m == nil || n == nil {
		return m == n
	}
	return *m == *n
}

// An Action is what a VM can be asked to do (InstanceStateRequested).
type Action string

const (
	Run    Action = "Run"
	Stop   Action = "Stop"
	Reboot Action = "Reboot"
)
