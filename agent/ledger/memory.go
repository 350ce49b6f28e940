package ledger

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Memory replaces a Ledger in an agent that stores nothing. It remembers VMMs that have
// ended until the process exits.
type Memory struct{ *ended }

// NewMemory returns a Memory; keep is Options.KeepEnded.
func NewMemory(keep time.Duration) Memory { return Memory{newEnded(keep, nil)} }

// Save does nothing and returns nil.
func (Memory) Save(uuid.UUID, Entry) <-chan error { return nil }

// Drop adds a VMM that has ended, if last is not nil.
func (m Memory) Drop(_ uuid.UUID, last *vmm.Status) {
	if last != nil {
		m.add(*last)
	}
}

// Registration returns an error: registrations are not stored.
func (Memory) Registration(id uuid.UUID) (*vmm.Registration, error) {
	return nil, fmt.Errorf("registration of VMM %s is not kept", id)
}

// Trouble returns nil.
func (Memory) Trouble() error { return nil }

// Fresh returns false: no record can be lost.
func (Memory) Fresh() bool { return false }

// Settle does nothing.
func (Memory) Settle() {}

// Lost returns "": no record can be lost.
func (Memory) Lost() string { return "" }
