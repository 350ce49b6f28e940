package vmm

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// A WireState is a VMM's state as Nexus knows it.
type WireState string

// The states of the wire. WireStopped is part of the vocabulary; the agent
// never publishes it, since Propolis's Stopped is a VMM that still holds
// resources (see Wire).
const (
	WireStarting  WireState = "starting"
	WireRunning   WireState = "running"
	WireStopping  WireState = "stopping"
	WireStopped   WireState = "stopped"
	WireRebooting WireState = "rebooting"
	WireMigrating WireState = "migrating"
	WireFailed    WireState = "failed"
	WireDestroyed WireState = "destroyed"
)

// WireStates lists every state of the wire.
func WireStates() []WireState {
	return []WireState{WireStarting, WireRunning, WireStopping, WireStopped, WireRebooting,
		WireMigrating, WireFailed, WireDestroyed}
}

// Terminal reports whether a VMM in this state has ended.
func (s WireState) Terminal() bool { return s == WireFailed || s == WireDestroyed }

// A MigrationState is the state of one side of a live migration, on the wire.
type MigrationState string

const (
	MigrationPending    MigrationState = "pending"
	MigrationInProgress MigrationState = "in_progress"
	MigrationFailed     MigrationState = "failed"
	MigrationCompleted  MigrationState = "completed"
)

// A Record is all that this sled knows of a VMM's state: the body of Nexus's
// PUT /vmms/{propolis_id} and of the sled API's answers (SledVmmState).
type Record struct {
	VMM          Runtime    `json:"vmm_state"`
	MigrationIn  *Migration `json:"migration_in"`
	MigrationOut *Migration `json:"migration_out"`
}

// Runtime is the VMM's own part of a Record.
type Runtime struct {
	State WireState `json:"state"`
	// Gen rises with every change and every observation; of two records the one
	// with the greater Gen is the newer.
	Gen uint64 `json:"gen"`
	// Updated is the wall-clock time of the change, UTC. Of decisions, only the
	// generation after a restart depends on it.
	Updated time.Time `json:"time_updated"`
}

// A Migration is one side of a live migration. Gen counts this record's own
// changes and is independent of the VMM's.
type Migration struct {
	ID      uuid.UUID      `json:"migration_id"`
	State   MigrationState `json:"state"`
	Gen     uint64         `json:"gen"`
	Updated time.Time      `json:"time_updated"`
}

// clone returns a copy that shares no memory with r.
func (r Record) clone() Record {
	r.MigrationIn = r.MigrationIn.clone()
	r.MigrationOut = r.MigrationOut.clone()
	return r
}

func (m *Migration) clone() *Migration {
	if m == nil {
		return nil
	}
	c := *m
	return &c
}

// Valid reports whether a record that was read from somewhere can be one of a VMM.
func (r Record) Valid() bool {
	ok := slices.Contains(WireStates(), r.VMM.State) && r.VMM.Gen > 0
	for _, m := range []*Migration{r.MigrationIn, r.MigrationOut} {
		ok = ok && (m == nil || slices.Contains(migrationStates, m.State))
	}
	return ok
}

var migrationStates = []MigrationState{MigrationPending, MigrationInProgress, MigrationFailed, MigrationCompleted}
