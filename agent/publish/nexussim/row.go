package nexussim

import (
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// An Effect is what an update changed in the tables.
type Effect string

const (
	// Updated: the VMM's row has the new state.
	Updated Effect = "updated"
	// MigrationOnly: the VMM's state was stale, a migration record was newer.
	MigrationOnly Effect = "migration"
	// Stale: acknowledged, and nothing in it was newer than the stored row.
	Stale Effect = "stale"
	// Lied: acknowledged and discarded, by the fault FaultStaleAccept.
	Lied Effect = "lied"
	// Rejected: refused for its content; nothing was stored.
	Rejected Effect = "rejected"
	// Faulted: a fault occurred before anything was stored.
	Faulted Effect = "faulted"
)

// A Put is one PUT /vmms/{propolis_id} and its result.
type Put struct {
	// Seq numbers the PUTs in order of arrival, from 1.
	Seq uint64 `json:"seq"`
	// At is when the request was read.
	At time.Time `json:"time"`
	// VMM is nil if the path has none.
	VMM uuid.UUID `json:"vmm"`
	// Record is the body; nil if it could not be decoded.
	Record *vmm.Record `json:"record,omitempty"`
	// Answer is the status of the answer, 0 if there was none.
	Answer int    `json:"answer"`
	Effect Effect `json:"effect"`
	// Fault is the last fault that applied: the one that determined the answer, or a
	// delay.
	Fault string `json:"fault,omitempty"`
	// Message is the error's text, for people.
	Message string `json:"message,omitempty"`
}

// A Row is the simulated Nexus's state of one VMM at one moment.
type Row struct {
	ID uuid.UUID `json:"id"`
	// Record is the database's row: nil if no update was stored. Each of its three parts
	// is the newest by its own generation.
	Record *vmm.Record `json:"record"`
	// FirstSeen and LastSeen are when the first and the last PUT arrived; zero without
	// PUTs.
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	// Puts counts the well-formed PUTs, Updates those that changed something.
	Puts    int `json:"puts"`
	Updates int `json:"updates"`
	// Acked is the greatest acknowledged generation.
	Acked      uint64 `json:"acked_gen"`
	LastAnswer int    `json:"last_answer"`
	LastEffect Effect `json:"last_effect"`
	// History has the VMM's distinct records in order of first arrival; at most the last
	// maxHistory.
	History []Seen `json:"history"`
}

// Seen is one distinct record of a VMM.
type Seen struct {
	State vmm.WireState `json:"state"`
	Gen   uint64        `json:"gen"`
	// At is when it first arrived.
	At time.Time `json:"time"`
	// Times is how often it arrived.
	Times int `json:"times"`
	// AckedAt is when it was first acknowledged; nil if never.
	AckedAt *time.Time `json:"acked_at"`
	Record  vmm.Record `json:"record"`
}

// State returns the stored state; empty if there is none.
func (r Row) State() vmm.WireState {
	if r.Record == nil {
		return ""
	}
	return r.Record.VMM.State
}

// Gen returns the stored generation; 0 if there is none.
func (r Row) Gen() uint64 {
	if r.Record == nil {
		return 0
	}
	return r.Record.VMM.Gen
}

// A Rule is one that a correct sled never breaks.
type Rule string

const (
	// SameGenOtherBody: two different records carry one generation.
	SameGenOtherBody Rule = "same-gen-other-body"
	// GenBackwards: a record never sent before is older than one that was acknowledged.
	GenBackwards Rule = "gen-backwards"
	// SecondTerminal: a VMM ended twice.
	SecondTerminal Rule = "second-terminal"
	// AfterTerminal: a VMM has a new state after a terminal one.
	AfterTerminal Rule = "after-terminal"
)

// A Violation is a PUT that contradicts an earlier one of the same VMM. A repeat of an
// old record is not a violation, since requests may overtake each other.
type Violation struct {
	Seq  uint64    `json:"seq"`
	At   time.Time `json:"time"`
	VMM  uuid.UUID `json:"vmm"`
	Rule Rule      `json:"rule"`
	// Text describes both records.
	Text string `json:"text"`
}
