package propolis

import "github.com/google/uuid"

// A State is a VM's state as reported by Propolis (InstanceState).
type State string

// The states that Propolis reports. A stopped VM is Stopped while its objects are being
// released; only Destroyed is final.
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

// final reports whether this state is the last one that Propolis reports.
func (s State) final() bool { return s == StateDestroyed || s == StateFailed }

// A MigrationPhase is the progress of a live migration (MigrationState).
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

// An Observation is the VM's state as reported by Propolis at one moment. It must not be
// modified.
type Observation struct {
	// Gen starts at 1 for each VM and rises with each published change. Changes that were
	// overwritten between two polls are never seen.
	Gen   uint64
	State State
	// MigrationIn and MigrationOut are nil without such a migration. They remain after the
	// migration has ended.
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

// An Action is a requested state of a VM (InstanceStateRequested).
type Action string

const (
	Run    Action = "Run"
	Stop   Action = "Stop"
	Reboot Action = "Reboot"
)
