package runner

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/bundle"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/meter"
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
	Life    context.Context
	Zones   zone.Manager
	Guard   *watchdog.Guard
	Nexus   Nexus
	Journal Journal
	// Propolis returns a client for the server at an address.
	Propolis func(netip.AddrPort) Propolis
	// Starts bounds how many zones are being made at a time, Heavy how many are
	// being uninstalled.
	Starts, Heavy zone.Gate
	// Settings are those that may change while VMMs run.
	Settings Settings
	// Prefix and the VMM's id make the name of a new VMM's zone.
	Prefix string
	// Sled is the part of Propolis's metadata that is the same for every VM.
	Sled  func() propolis.Metadata
	Watch propolis.WatchOptions
	// Collector is asked before each deadline; nil means that nothing is saved then.
	Collector Collector
	// Bundle is given the evidence of each VMM that was ended by force or has failed. It
	// returns at once, and may be nil.
	Bundle func(bundle.Evidence)
	// Claim reserves a Propolis address for a VMM, so that no VMM is ever sent
	// another's requests. Unclaim releases it.
	Claim   func(netip.AddrPort, uuid.UUID) error
	Unclaim func(netip.AddrPort, uuid.UUID)
	// Event is called with every event of a VMM. It returns at once.
	Event func(uuid.UUID, vmm.Event)
	// Left is called when nothing is left of a VMM. It returns at once.
	Left func(uuid.UUID)
	// Ports sets up guests' ports; nil if their networking is only recorded. PortsFailed
	// counts its failures.
	Ports       zone.Ports
	PortsFailed *atomic.Int64
	// Abandoned counts helper calls that are stuck past their budget, Unsure the
	// questions that could not be answered, GaveUp the terminal records that were
	// never acknowledged.
	Abandoned, Unsure, GaveUp *atomic.Int64
	// Meter counts ends and times what takes time.
	Meter *meter.Meter
	Log   zerolog.Logger
}

// A Nexus is offered records; publish.Client is one.
type Nexus interface {
	Put(context.Context, uuid.UUID, vmm.Record) publish.Answer
}

// Propolis is the server of one VM; propolis.Client is one.
type Propolis interface {
	Ready(context.Context) error
	Instance(context.Context) (uuid.UUID, error)
	Ensure(context.Context, propolis.EnsureRequest) error
	Put(context.Context, propolis.Action, time.Duration) error
	Watch(context.Context, uint64, propolis.WatchOptions, func(propolis.WatchEvent))
	Snapshot(context.Context, string, uuid.UUID) error
}

// A Journal makes VMMs' states durable; ledger.Ledger and ledger.Memory are two.
// Its methods return at once, but for Registration.
type Journal interface {
	// Save begins to make an entry durable. The channel yields one error, or nil,
	// when that has been decided; a nil channel means that it is durable already.
	Save(uuid.UUID, ledger.Entry) <-chan error
	// Drop forgets a VMM and, if last is not nil, keeps how it ended.
	Drop(id uuid.UUID, last *vmm.Status)
	// Registration reads what a VMM was registered with; it may take as long as the
	// disk does. One that is damaged wraps ledger.ErrDamaged.
	Registration(uuid.UUID) (*vmm.Registration, error)
	// Trouble is nil exactly while everything that was saved is on disk or being written.
	Trouble() error
}

// A keeper is a Journal that has registrations on disk, so that they need not stay
// in memory. Once Keeps has reported that it has a VMM's, Registration returns it,
// and entries of the VMM come without it.
type keeper interface{ Keeps(uuid.UUID) bool }

// ErrLeaving is the error of a Claim for an address whose holder is stopping or
// being removed: it will be free.
var ErrLeaving = leaving{}

type leaving struct{}

func (leaving) Error() string { return "its holder is being removed" }
