package admin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

// An Agent provides what the Server serves. Its methods are safe for concurrent use and,
// except Kill, RemoveZone, BeginDrain and EndDrain, answer from memory.
type Agent interface {
	// List returns every VMM's Status without events, in no particular order.
	List() []vmm.Status
	// Ended returns the last Status of every ended VMM that is still kept, latest
	// first, without events.
	Ended() []vmm.Status
	// Show returns one VMM's Status with its events, also of an ended one. It returns
	// a *vmm.Refusal with the reason Unknown if there is none.
	Show(id uuid.UUID) (vmm.Status, error)
	// Kill starts the removal of the VMM's zone for the operator, without grace; the VMM
	// ends Destroyed. It returns once that is decided, before the zone is removed.
	// Killing a VMM twice is no error.
	Kill(ctx context.Context, id uuid.UUID) (vmm.Status, error)
	// ListZones returns the agent's zones by name, as the host listed them last.
	ListZones() vmm.ZoneList
	// RemoveZone begins to remove a zone that belongs to no VMM, and returns once that is
	// decided. It returns a *vmm.Refusal with the reason NoZone if there is none, and with
	// Conflict if it belongs to a VMM. Removing a zone twice is no error.
	RemoveZone(ctx context.Context, by vmm.Who, name string) (vmm.ZoneStatus, error)
	// About returns the agent's description.
	About() About
	// Disposition describes whether the sled takes new VMMs.
	Disposition() disposition.Status
	// BeginDrain refuses new VMMs and begins to stop all, by force after grace; nil is the
	// default grace. It is repeatable and takes effect before it returns.
	BeginDrain(ctx context.Context, by vmm.Who, grace *time.Duration) disposition.Status
	// EndDrain ends the drain; it is no error if there is none.
	EndDrain(ctx context.Context, by vmm.Who) (disposition.Status, error)
	// Subscribe delivers every VMM's events from now on, through a channel with the
	// given buffer. A slow reader loses events and finds their number in the next
	// one's Lost; the agent is never slowed down. cancel ends the delivery and may be
	// called more than once.
	Subscribe(buffer int) (events <-chan NamedEvent, cancel func())
}

// A NamedEvent is an event with the id of its VMM.
type NamedEvent struct {
	VMM uuid.UUID `json:"vmm"`
	vmm.Event
	// Lost is the number of events that this reader missed right before this one.
	Lost int `json:"lost,omitempty"`
}

// About describes an agent.
type About struct {
	Version string `json:"version"`
	SledID  string `json:"sled_id"`
	// API is the base URL of the sled API, such as http://[::1]:12345; empty while it
	// does not listen.
	API string `json:"api"`
	// Backend is the kind of zones: "illumos" or "process".
	Backend string `json:"backend"`
	// Isolation describes how well zones are isolated, in the backend's text.
	Isolation string    `json:"isolation"`
	Started   time.Time `json:"started"`
	PID       int       `json:"pid"`
	// Nexus is where states are published; empty for a standalone agent, and while no
	// answer of DNS is there.
	Nexus []string `json:"nexus"`
	// NexusDNS are the DNS servers by which Nexus is found; empty if it is not.
	NexusDNS []string `json:"nexus_dns,omitempty"`
	VMMs     int      `json:"vmms"`
	// Disposition is "available" or "evacuating", Evacuating says why it is the latter.
	Disposition disposition.Value `json:"update_disposition"`
	Evacuating  string            `json:"evacuating,omitempty"`
	// Troubles are the errors of parts of the agent that fail and are retried.
	// Deadlines are kept nevertheless.
	Troubles []string `json:"troubles,omitempty"`
}
