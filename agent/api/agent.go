package api

import (
	"context"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

// An Agent carries out the API's calls. Its methods are safe for concurrent use, return
// soon after ctx ends, and refuse with a *vmm.Refusal. A *propolis.Error is passed on
// with its status; any other error is an internal one. The id is a VMM's Propolis id.
type Agent interface {
	// Register adds a VMM. One that is registered already for the same instance is
	// unchanged. The record is the VMM's afterwards.
	Register(ctx context.Context, id uuid.UUID, r *vmm.Registration) (vmm.Record, error)
	// Unregister removes a VMM and hands its record over to the caller. A nil record
	// means that there is no such VMM.
	Unregister(ctx context.Context, id uuid.UUID) (*vmm.Record, error)
	// Run begins to start a VMM.
	Run(ctx context.Context, id uuid.UUID) error
	// MigrateIn begins to start a VMM as the target of the one that serves at src.
	MigrateIn(ctx context.Context, id uuid.UUID, src netip.AddrPort) error
	// Stop begins to stop a VMM, by force after grace. A nil grace means the default,
	// and a long one is cut to the maximum. The guest has soft to power off; 0 means that
	// it is not asked to.
	Stop(ctx context.Context, id uuid.UUID, grace *time.Duration, soft time.Duration) (vmm.Record, error)
	Reboot(ctx context.Context, id uuid.UUID, soft time.Duration) (vmm.Record, error)
	// State returns a VMM's record from memory, without waiting.
	State(id uuid.UUID) (vmm.Record, error)
	// Snapshot snapshots one disk under the given snapshot id.
	Snapshot(ctx context.Context, id uuid.UUID, disk string, snapshot uuid.UUID) error
	// SetNetwork changes a VMM's networking. The change is durable afterwards.
	SetNetwork(ctx context.Context, id uuid.UUID, change vmm.NetworkChange) error
	// Zones lists the running zones.
	Zones(ctx context.Context) ([]string, error)
	// Identifiers identifies the sled; SledID is nil while it is unknown.
	Identifiers() Identifiers
	// Sled describes the sled, for the inventory.
	Sled(ctx context.Context) Sled
	// Configure keeps the sled configuration if it is newer than the one that is kept, and
	// returns a *disposition.StaleError if it is not.
	Configure(ctx context.Context, c disposition.Config) error
}

// Identifiers identify the sled (SledIdentifiers on the wire).
type Identifiers struct {
	RackID   uuid.UUID `json:"rack_id"`
	SledID   uuid.UUID `json:"sled_id"`
	Model    string    `json:"model"`
	Revision uint32    `json:"revision"`
	Serial   string    `json:"serial"`
}
