package vmm

import (
	"time"

	"github.com/google/uuid"
)

// A ZoneList is what is known of the agent's zones.
type ZoneList struct {
	// At is when the host listed them, some seconds ago at most unless Trouble says why not.
	At time.Time `json:"at"`
	// Trouble says why zones may be missing, or why the list is old.
	Trouble string       `json:"trouble,omitempty"`
	Zones   []ZoneStatus `json:"zones"`
}

// A ZoneStatus is one zone. It is data for people and scripts.
type ZoneStatus struct {
	Name string `json:"name"`
	// State is a zone's state as zoneadm(8) names it, "unknown" if the host does not say. Since
	// is when this process saw the zone in it first.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// VMM is the one that it belongs to, Hostname that VMM's.
	VMM      *uuid.UUID `json:"vmm,omitempty"`
	Hostname string     `json:"hostname,omitempty"`
	// Orphan is set for a zone that belongs to no VMM, though its name has the agent's prefix.
	// Kept says why it is not removed.
	Orphan bool   `json:"orphan"`
	Kept   string `json:"kept,omitempty"`
	// Removal is the removal of an orphan, By the operator who asked for it.
	Removal *RemovalStatus `json:"removal,omitempty"`
	By      string         `json:"by,omitempty"`
}
