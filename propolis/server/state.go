package server

import (
	"github.com/google/uuid"
)

// A State is a VM's state (InstanceState).
type State string

// The states: all of the API except Repairing.
const (
	Creating  State = "Creating"
	Starting  State = "Starting"
	Running   State = "Running"
	Stopping  State = "Stopping"
	Stopped   State = "Stopped"
	Rebooting State = "Rebooting"
	Migrating State = "Migrating"
	Failed    State = "Failed"
	Destroyed State = "Destroyed"
)

// A Phase is the progress of one side of a migration (MigrationState).
type Phase string

// The phases: all of the API except Resume.
const (
	Sync         Phase = "Sync"
	RAMPush      Phase = "RamPush"
	Pause        Phase = "Pause"
	RAMPushDirty Phase = "RamPushDirty"
	Device       Phase = "Device"
	RAMPull      Phase = "RamPull"
	ServerPhase  Phase = "Server"
	Finish       Phase = "Finish"
	ErrorPhase   Phase = "Error"
)

// A View is what the state monitor shows (InstanceStateMonitorResponse). It is immutable,
// including what it points to.
type View struct {
	// Gen is 1 in the first view after PUT /instance and rises with each one.
	Gen       uint64     `json:"gen"`
	State     State      `json:"state"`
	Migration Migrations `json:"migration"`
}

// Migrations are the last migrations into and out of this server, or nil.
type Migrations struct {
	In  *Migration `json:"migration_in"`
	Out *Migration `json:"migration_out"`
}

// A Migration is one side of a live migration.
type Migration struct {
	ID    uuid.UUID `json:"id"`
	State Phase     `json:"state"`
}
