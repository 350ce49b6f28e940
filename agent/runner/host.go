package runner

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/watchdog"
	"github.com/sledagent/sledagent/zone"
)

// A Host is what all VMMs of a sled share. It is not changed after the first
// Runner was made.
type Host struct {
	// Life ends when the agent exits. No VM is touched because of it.
	Life      context.Context
	Zones     zone.Manager
	Guard     *watchdog.Guard
	Publisher Publisher
	Journal   Journal
	// Propolis returns a client for the server at an address.
	Propolis func(netip.AddrPort) Propolis
	// Starts bounds how many zones are being made at a time, Heavy how many are
	// being uninstalled.
	Starts, Heavy zone.Gate
	Limits        vmm.Limits
	// Prefix and the VMM's id make the zone's name.
	Prefix string
	// Sled is the part of Propolis's metadata that is the same for every VM.
	Sled  propolis.Metadata
	Watch propolis.WatchOptions
	// Evidence is the budget for saving what a kill would leave unexplained.
	Evidence time.Duration
	// Claim reserves a Propolis address for a VMM, so that no VMM ever speaks to
	// another's server. Unclaim gives it up again.
	Claim   func(netip.AddrPort, uuid.UUID) error
	Unclaim func(netip.AddrPort, uuid.UUID)
	// Event is told of everything that happens to a VMM. It returns at once.
	Event func(uuid.UUID, vmm.Event)
	// Forgotten is told when nothing is left of a VMM, and how it was then. It
	// returns at once.
	Forgotten func(vmm.Status)
	// Abandoned counts helper calls that are stuck past their budget.
	Abandoned *atomic.Int64
	Log       zerolog.Logger
}

// A Publisher tells Nexus; publish.Publisher is one.
type Publisher interface {
	// Acknowledged tells what Nexus has acknowledged to an earlier process.
	Acknowledged(uuid.UUID, uint64)
	Offer(uuid.UUID, vmm.Record, func(publish.Result))
	Drop(uuid.UUID)
	Status(uuid.UUID) (vmm.PublishStatus, bool)
}

// Propolis is the server of one VM; propolis.Client is one.
type Propolis interface {
	Ready(context.Context) error
	Ensure(context.Context, propolis.EnsureRequest) error
	Put(context.Context, propolis.Action) error
	Watch(context.Context, uint64, propolis.WatchOptions, func(propolis.WatchEvent))
	Snapshot(context.Context, string, uuid.UUID) error
	Close()
}

// A Journal makes VMMs' states durable; ledger.Ledger is one. Save and Drop return at once.
type Journal interface {
	// Save begins to make an entry durable. The channel yields one error, or nil,
	// when that has been decided; a nil channel means that it is durable already.
	Save(uuid.UUID, ledger.Entry) <-chan error
	// Drop forgets a VMM.
	Drop(uuid.UUID)
}

// Volatile is the Journal of an agent that remembers nothing over a restart.
type Volatile struct{}

// Save does nothing.
func (Volatile) Save(uuid.UUID, ledger.Entry) <-chan error { return nil }

// Drop does nothing.
func (Volatile) Drop(uuid.UUID) {}
