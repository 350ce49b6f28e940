package nexussim

import (
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// An Effect says what an update did to the tables.
type Effect string

const (
	// Updated: the VMM's row took the new state.
	Updated Effect = "updated"
	// MigrationOnly: the VMM's own part was stale, a migration record was newer.
	MigrationOnly Effect = "migration"
	// Stale: acknowledged, and nothing in it was newer than what is stored.
	Stale Effect = "stale"
	// Lied: acknowledged and thrown away, by request (FaultStaleAccept).
	Lied Effect = "lied"
	// Rejected: refused for what it says; nothing was stored.
	Rejected Effect = "rejected"
	// Faulted: a fault struck before anything was stored.
	Faulted Effect = "faulted"
)

// A Put is one PUT /vmms/{propolis_id} that arrived, and what became of it.
type Put struct {
	// Seq numbers the PUTs in the order in which they arrived, from 1.
	Seq uint64 `json:"seq"`
	// At is when the request had been read.
	At time.Time `json:"time"`
	// VMM is nil if the path named none.
	VMM uuid.UUID `json:"vmm"`
	// Record is what was sent; nil if it could not be read.
	Record *vmm.Record `json:"record,omitempty"`
	// Answer is the status that was sent, 0 if the client got none.
	Answer int    `json:"answer"`
	Effect Effect `json:"effect"`
	// Fault is the last fault that met the request, if one did: the one that
	// decided the answer, or a delay.
	Fault string `json:"fault,omitempty"`
	// Message is the error's text, for people.
	Message string `json:"message,omitempty"`
}

// A Row is what the simulated Nexus knows of one VMM. It is a copy; its slices
// and pointers belong to the caller.
type Row struct {
	ID uuid.UUID `json:"id"`
	// Record is what the database holds: nil while no update was stored. Each
	// of its three parts is the newest of its own generation.
	Record *vmm.Record `json:"record"`
	// FirstSeen and LastSeen are when the first and the last PUT arrived; zero
	// for a VMM that no PUT has named.
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	// Puts counts the well-formed PUTs, Updates those that changed something.
	Puts    int `json:"puts"`
	Updates int `json:"updates"`
	// Acked is the greatest generation that the sled was told is stored.
	Acked      uint64 `json:"acked_gen"`
	LastAnswer int    `json:"last_answer"`
	LastEffect Effect `json:"last_effect"`
	// History holds the VMM's states in the order in which they first arrived,
	// the last of them if there were very many.
	History []Seen `json:"history"`
}

// Seen is one distinct record that a sled has sent of a VMM.
type Seen struct {
	State vmm.WireState `json:"state"`
	Gen   uint64        `json:"gen"`
	// At is when it first arrived.
	At time.Time `json:"time"`
	// Times counts how often it was sent.
	Times int `json:"times"`
	// AckedAt is when it was first acknowledged; nil if it never was.
	AckedAt *time.Time `json:"acked_at"`
	Record  vmm.Record `json:"record"`
}

// State is the stored state; empty while there is none.
func (r Row) State() vmm.WireState {
	if r.Record == nil {
		return ""
	}
	return r.Record.VMM.State
}

// Gen is the stored generation; 0 while there is none.
func (r Row) Gen() uint64 {
	if r.Record == nil {
		return 0
	}
	return r.Record.VMM.Gen
}

// A Rule is one that a truthful sled never breaks.
type Rule string

const (
	// SameGenOtherBody: two different records carry one generation.
	SameGenOtherBody Rule = "same-gen-other-body"
	// GenBackwards: a record never sent before is older than one that was acknowledged.
	GenBackwards Rule = "gen-backwards"
	// SecondTerminal: a VMM ended twice.
	SecondTerminal Rule = "second-terminal"
	// AfterTerminal: a VMM lives on after its end.
	AfterTerminal Rule = "after-terminal"
)

// A Violation is a PUT that contradicts what the same VMM's sled said before.
// Sending an old record once more is none: requests may overtake each other.
type Violation struct {
	Seq  uint64    `json:"seq"`
	At   time.Time `json:"time"`
	VMM  uuid.UUID `json:"vmm"`
	Rule Rule      `json:"rule"`
	// Text is for people; it names both records.
	Text string `json:"text"`
}
