package vmm

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Phase is where a VMM is in its life, as the agent sees it. The wire's state
// is for Nexus; the phase is what the machine decides by.
type Phase int

const (
	// Registered: the agent knows the VMM and has made nothing of it.
	Registered Phase = iota
	// Booting: its zone is being made and booted.
	Booting
	// Ensuring: Propolis serves, or is about to, and is being given the VM.
	Ensuring
	// Active: Propolis has the VM and its reports govern.
	Active
	// Stopping: a stop is pending; its deadline is armed.
	Stopping
	// Removing: how it ends is decided and its zone is being removed.
	Removing
	// Ended: its zone is gone; its terminal state waits for Nexus's acknowledgement.
	Ended
	// Forgotten: nothing is left of it, and nothing is left to publish.
	Forgotten

	numPhases = int(Forgotten) + 1
)

var phaseNames = [numPhases]string{"registered", "booting", "ensuring", "active",
	"stopping", "removing", "ended", "forgotten"}

func (p Phase) String() string {
	if p < 0 || int(p) >= numPhases {
		return fmt.Sprintf("Phase(%d)", int(p))
	}
	return phaseNames[p]
}

// Outcome is how a VMM ends, once that is decided.
type Outcome int

const (
	// Undecided: nothing has ended it yet.
	Undecided Outcome = iota
	// Destroyed: it was asked to end, by Nexus, the operator or its guest.
	Destroyed
	// Failed: it ended without being asked to.
	Failed
)

func (o Outcome) String() string { return [...]string{"", "destroyed", "failed"}[o] }

func (o Outcome) wire() WireState {
	if o == Failed {
		return WireFailed
	}
	return WireDestroyed
}

// Who asked for something: one of the constants, or an operator with a name.
type Who string

const (
	ByNexus    Who = "nexus"
	ByOperator Who = "operator"
	ByGuest    Who = "guest"
)

// Operator is the operator of this user name.
func Operator(name string) Who { return ByOperator + " " + Who(name) }

// Kind is the caller without the name.
func (w Who) Kind() Who {
	kind, _, _ := strings.Cut(string(w), " ")
	return Who(kind)
}

// Purpose is what a deadline is for.
type Purpose string

const (
	ForNothing Purpose = ""
	ForStart   Purpose = "start"
	ForReboot  Purpose = "reboot"
	ForStop    Purpose = "stop"
)

// Deadline is when a forced removal begins unless it is disarmed. Its epoch
// tells it from every other deadline of the same VMM.
type Deadline struct {
	For   Purpose
	Epoch uint64
	At    time.Time
}

// A StopRecord is a stop that was accepted.
type StopRecord struct {
	By        Who
	Requested time.Time
	// Grace is what this stop was granted, after clamping: the time to its deadline.
	Grace time.Duration
	// Soft is how long the guest may take to power off before Propolis stops it by force;
	// zero if Propolis was asked to do that at once. It counts from the same moment as
	// Grace: a further stop that shortens one of them counts both anew.
	Soft time.Duration
	// Asked is set once Propolis is being asked to stop; a guest that stops
	// by itself need not be.
	Asked bool
	// Acked is when Propolis accepted; zero until then.
	Acked time.Time
}

// Limits bound a VMM's transitions; all are positive.
type Limits struct {
	StopGrace, MaxStopGrace, StartTimeout, RebootTimeout time.Duration
	// SoftStop is set if Propolis can press a guest's power button.
	SoftStop bool
	// RetryInitial and RetryMax bound the pauses between offers of a record to
	// Nexus, GiveUpAfter is for how long a terminal record is offered.
	RetryInitial, RetryMax, GiveUpAfter time.Duration
	// Standalone is set if no Nexus is configured: no record is offered. A VMM that has ended
	// is kept for GiveUpAfter, unless it is unregistered before.
	Standalone bool
}

// PropolisSeen is the newest observation.
type PropolisSeen struct {
	State PropolisState
	// Gen is Propolis's own generation, a cursor into its history. It has
	// nothing to do with the record's. Zero before the first observation.
	Gen uint64
	At  time.Time
}

// A State is all that decides what a VMM does next. It is a value: Step returns
// a new one and leaves the old one alone.
type State struct {
	Phase Phase
	// Since is when the phase was entered.
	Since  time.Time
	Record Record
	// Cold says how the VMM starts: true from its spec, false by migration from Src.
	Cold bool
	Src  string
	// Stop is nil until a stop was accepted.
	Stop  *StopRecord
	Armed Deadline
	// Epoch is the last one given to a deadline.
	Epoch   uint64
	Outcome Outcome
	// Reason says in words why it ends.
	Reason string
	// Disowned is set once Nexus has unregistered the VMM: nothing is published.
	Disowned bool
	Propolis PropolisSeen
	// Rebooting is set while Propolis is being asked to reboot; RebootFrom is
	// Propolis's generation at that moment, and RebootSoft the time that the guest is given
	// to shut down.
	Rebooting  bool
	RebootFrom uint64
	RebootSoft time.Duration
	// RebootGrace is the time from the arming of a reboot's deadline to it.
	RebootGrace time.Duration
	// Ports is the VMM's networking; nil if an earlier version has saved the state.
	Ports *Ports
	// Acked is the newest generation of the record that Nexus has acknowledged.
	Acked  uint64
	Flux   Flux
	Limits Limits
}

// Flux is the part of a State that ends with the process: what is under way,
// and what cannot be told at the moment. It is never saved.
type Flux struct {
	// Starting is set from the moment a start's effect is wanted until it has
	// returned, whatever has become of the VMM meanwhile: until then it may still
	// make something of the zone.
	Starting bool
	// Removal is the number of the newest removal that was begun or asked for,
	// Gone that of the newest which has verified that the zone is gone.
	Removal, Gone uint64
	// Settled is set once the VMM's end needs no more publishing.
	Settled bool
	Offer   Offer
	Ports   Applying
	// Zone and Server are the open questions about the zone and about Propolis.
	Zone, Server Doubt
}

// Kept is the part of a state that is saved.
func (s State) Kept() State {
	s.Flux = Flux{}
	return s
}

// A Doubt is a question that could not be answered. It decides nothing: only
// proof that something has ended ends a VMM. The zero value is no doubt.
type Doubt struct {
	// Since is when the first answer was missing, Why what the newest said.
	Since time.Time
	Why   string
	// Asked counts the questions since then.
	Asked int
}

// New is the state of a VMM that has just been registered. Its record is the
// caller's runtime, as it stands; a migration target also gets the record of
// its migration.
func New(r Runtime, migration *uuid.UUID, l Limits, now time.Time) State {
	s := State{Phase: Registered, Since: now, Record: Record{VMM: r}, Limits: l}
	if migration != nil {
		s.Record.MigrationIn = &Migration{ID: *migration, State: MigrationPending, Gen: 1, Updated: now.UTC()}
	}
	return s
}

// ParsePhase reads a phase's name.
func ParsePhase(name string) (Phase, bool) {
	for p, n := range phaseNames {
		if n == name {
			return Phase(p), true
		}
	}
	return Registered, false
}
