package api

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// An Agent does what the API asks for. Its methods are safe for concurrent use,
// return soon after ctx ends, and refuse with a *vmm.Refusal. A *propolis.Error
// is passed on to the caller by its status; any other error is an internal one.
// The id is always a VMM's Propolis id.
type Agent interface {
	// Register makes a VMM known. One that is registered already for the same
	// instance is left as it is. The record is the VMM's as it is afterwards.
	Register(ctx context.Context, id uuid.UUID, r *wire.Registration) (vmm.Record, error)
	// Unregister removes a VMM and gives its record away for good. A nil record
	// means that there is no such VMM.
	Unregister(ctx context.Context, id uuid.UUID) (*vmm.Record, error)
	// Run begins to start a VMM and does not wait for it.
	Run(ctx context.Context, id uuid.UUID) error
	// MigrateIn begins to start a VMM out of the one that serves at src.
	MigrateIn(ctx context.Context, id uuid.UUID, src netip.AddrPort) error
	// Stop begins to stop a VMM, by force after grace. A nil grace is the
	// default one; one that is too long is shortened to the longest allowed.
	Stop(ctx context.Context, id uuid.UUID, grace *time.Duration) (vmm.Record, error)
	Reboot(ctx context.Context, id uuid.UUID) (vmm.Record, error)
	// State reads a VMM's record from memory and never waits.
	State(id uuid.UUID) (vmm.Record, error)
	// Snapshot snapshots one disk under the id that the caller chose.
	Snapshot(ctx context.Context, id uuid.UUID, disk string, snapshot uuid.UUID) error
	// Zones names the running zones.
	Zones(ctx context.Context) ([]string, error)
	Identifiers() Identifiers
}

// Identifiers say which sled this is (SledIdentifiers on the wire).
type Identifiers struct {
	RackID   uuid.UUID `json:"rack_id"`
	SledID   uuid.UUID `json:"sled_id"`
	Model    string    `json:"model"`
	Revision uint32    `json:"revision"`
	Serial   string    `json:"serial"`
}
