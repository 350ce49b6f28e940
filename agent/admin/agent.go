package admin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// An Agent is what the Server asks. Its methods are safe for concurrent use
// and, but for Kill, answer from memory.
type Agent interface {
	// List returns every VMM's Status without events, in no particular order.
	List() []vmm.Status
	// Show returns one VMM's Status with its events. A VMM that is not there is
	// a *vmm.Refusal for the reason Unknown.
	Show(id uuid.UUID) (vmm.Status, error)
	// Kill is the operator's: the removal of the VMM's zone starts now, without
	// grace, and the VMM ends Destroyed. It returns once that is decided, not
	// once the zone is gone. To kill a VMM twice is no error.
	Kill(ctx context.Context, id uuid.UUID) (vmm.Status, error)
	// About says which agent this is.
	About() About
	// Subscribe delivers every VMM's events from now on. The channel holds
	// buffer of them; a reader that does not keep up loses events and finds
	// their number in the next one's Lost, and the agent is never slowed. cancel
	// ends the delivery, frees what it took and may be called more than once.
	Subscribe(buffer int) (events <-chan NamedEvent, cancel func())
}

// A NamedEvent is an event together with the VMM that it happened to.
type NamedEvent struct {
	VMM uuid.UUID `json:"vmm"`
	vmm.Event
	// Lost is how many events this reader missed right before this one.
	Lost int `json:"lost,omitempty"`
}

// About says which agent this is.
type About struct {
	Version string `json:"version"`
	SledID  string `json:"sled_id"`
	// API is the base URL of the sled API, such as http://[::1]:12345.
	API string `json:"api"`
	// Backend is what zones are made of: "illumos" or "process".
	Backend string `json:"backend"`
	// Isolation is how well they are kept apart, in the backend's words.
	Isolation string    `json:"isolation"`
	Started   time.Time `json:"started"`
	PID       int       `json:"pid"`
	// Nexus is where states are published; empty for a standalone agent.
	Nexus []string `json:"nexus"`
	VMMs  int      `json:"vmms"`
}
