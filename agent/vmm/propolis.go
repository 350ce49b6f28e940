package vmm

import (
	"time"

	"github.com/google/uuid"
)

// A PropolisState is a VM's state as Propolis names it.
type PropolisState string

const (
	PropolisCreating  PropolisState = "Creating"
	PropolisStarting  PropolisState = "Starting"
	PropolisRunning   PropolisState = "Running"
	PropolisStopping  PropolisState = "Stopping"
	PropolisStopped   PropolisState = "Stopped"
	PropolisRebooting PropolisState = "Rebooting"
	PropolisMigrating PropolisState = "Migrating"
	PropolisRepairing PropolisState = "Repairing"
	PropolisFailed    PropolisState = "Failed"
	PropolisDestroyed PropolisState = "Destroyed"
)

// PropolisStates lists every state that Propolis knows.
func PropolisStates() []PropolisState {
	return []PropolisState{PropolisCreating, PropolisStarting, PropolisRunning, PropolisStopping,
		PropolisStopped, PropolisRebooting, PropolisMigrating, PropolisRepairing, PropolisFailed,
		PropolisDestroyed}
}

// Wire is the state that is published to Nexus for a state of Propolis's. Stopped is
// published as stopping: the guest will not run again, but the VMM has not let
// go of its resources, and Nexus would take stopped for more than that.
func (s PropolisState) Wire() WireState {
	switch s {
	case PropolisCreating, PropolisStarting:
		return WireStarting
	case PropolisRunning, PropolisRepairing:
		return WireRunning
	case PropolisStopping, PropolisStopped:
		return WireStopping
	case PropolisRebooting:
		return WireRebooting
	case PropolisMigrating:
		return WireMigrating
	case PropolisDestroyed:
		return WireDestroyed
	default:
		return WireFailed
	}
}

// An ObservedMigration is what Propolis says of one side of a migration. Phase
// is Propolis's word; only Error and Finish end a migration.
type ObservedMigration struct {
	ID    uuid.UUID
	Phase string
}

func (m ObservedMigration) wire() MigrationState {
	switch m.Phase {
	case "Error":
		return MigrationFailed
	case "Finish":
		return MigrationCompleted
	default:
		return MigrationInProgress
	}
}

// observe is the record of a migration after Propolis reported it. A side that
// Propolis does not mention keeps its record. A migration seen for the first
// time starts at generation 2, since Nexus's row starts at 1.
func (m *Migration) observe(o *ObservedMigration, now time.Time) *Migration {
	switch {
	case o == nil:
		return m
	case m == nil || m.ID != o.ID:
		return &Migration{ID: o.ID, State: o.wire(), Gen: 2, Updated: now.UTC()}
	case m.State == o.wire():
		return m
	default:
		return &Migration{ID: m.ID, State: o.wire(), Gen: m.Gen + 1, Updated: now.UTC()}
	}
}

// sides returns what is believed of Propolis's report of both sides. A VM is the
// target of one migration and the source of another, never both of one: Nexus
// refuses a record that says so. What the record has of an id already decides
// which side it is; without that, a report of both is one of a source.
func (r Record) sides(into, out *ObservedMigration) (*ObservedMigration, *ObservedMigration) {
	if out != nil && r.MigrationIn.has(out.ID) {
		out = nil
	}
	if into != nil && (r.MigrationOut.has(into.ID) || out != nil && out.ID == into.ID) {
		into = nil
	}
	return into, out
}

func (m *Migration) has(id uuid.UUID) bool { return m != nil && m.ID == id }

// end is the record of a migration whose VMM has ended: what had not completed
// has failed.
func (m *Migration) end(now time.Time) *Migration {
	if m == nil || m.State == MigrationCompleted || m.State == MigrationFailed {
		return m
	}
	return &Migration{ID: m.ID, State: MigrationFailed, Gen: m.Gen + 1, Updated: now.UTC()}
}
