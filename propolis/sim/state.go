package sim

import (
	"github.com/google/uuid"
)

// A State is what a Propolis server says of its VM (InstanceState).
type State string

// Every state of the API. The simulator never enters Repairing.
const (
	Creating  State = "Creating"
	Starting  State = "Starting"
	Running   State = "Running"
	Stopping  State = "Stopping"
	Stopped   State = "Stopped"
	Rebooting State = "Rebooting"
	Migrating State = "Migrating"
	Repairing State = "Repairing"
	Failed    State = "Failed"
	Destroyed State = "Destroyed"
)

// A Phase is how far one side of a live migration has come (MigrationState).
type Phase string

// Every phase of the API. The simulator never enters Resume.
const (
	Sync         Phase = "Sync"
	RAMPush      Phase = "RamPush"
	Pause        Phase = "Pause"
	RAMPushDirty Phase = "RamPushDirty"
	Device       Phase = "Device"
	Resume       Phase = "Resume"
	RAMPull      Phase = "RamPull"
	ServerPhase  Phase = "Server"
	Finish       Phase = "Finish"
	ErrorPhase   Phase = "Error"
)

// What each side of a migration goes through. Pause comes twice, and Sync too:
// the record appears in Sync before the protocol runs.
var (
	targetPhases = []Phase{Sync, RAMPush, Pause, RAMPushDirty, Pause, Device, RAMPull, ServerPhase, Finish}
	sourcePhases = []Phase{Sync, Sync, RAMPush, Pause, RAMPushDirty, Pause, Device, RAMPull, Finish}
)

// A View is what the state monitor shows (InstanceStateMonitorResponse). It is
// a value; what its pointers lead to never changes.
type View struct {
	// Gen is 1 in the first view after PUT /instance and rises with each one.
	Gen       uint64     `json:"gen"`
	State     State      `json:"state"`
	Migration Migrations `json:"migration"`
}

// Migrations are the last migration into and out of this server; nil for none.
type Migrations struct {
	In  *Migration `json:"migration_in"`
	Out *Migration `json:"migration_out"`
}

// A Migration is one side of a live migration.
type Migration struct {
	ID    uuid.UUID `json:"id"`
	State Phase     `json:"state"`
}
