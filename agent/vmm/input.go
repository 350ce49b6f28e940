package vmm

import (
	"fmt"
	"time"
)

// An Input is something that happened to a VMM: a request, or the report of an
// effect. It is one of the types below.
type Input interface{ Kind() Kind }

// A Kind names an Input's type, as a row of the table.
type Kind int

const (
	KindStart Kind = iota
	KindMigrateIn
	KindStop
	KindReboot
	KindUnregister
	KindKill
	KindZoneBooted
	KindEnsured
	KindStartFailed
	KindAnswered
	KindObserved
	KindLost
	KindZoneEnded
	KindExpired
	KindZoneGone
	KindAcked
	KindGaveUp
	KindResumed
	KindRebooted

	numKinds = int(KindRebooted) + 1
)

var kindNames = [numKinds]string{"Start", "MigrateIn", "Stop", "Reboot", "Unregister", "Kill",
	"ZoneBooted", "Ensured", "StartFailed", "Answered", "Observed", "Lost", "ZoneEnded",
	"Expired", "ZoneGone", "Acked", "GaveUp",
	"Resumed", "HostRebooted"}

func (k Kind) String() string {
	if k < 0 || int(k) >= numKinds {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// Requests.
type (
	// Start asks to run the VM from its spec.
	Start struct{}
	// MigrateIn asks to run it by migration from the Propolis at Src.
	MigrateIn struct{ Src string }
	// Stop asks to stop it. A nil Grace means the default.
	Stop struct {
		By    Who
		Grace *time.Duration
	}
	// Reboot asks to restart its guest.
	Reboot struct{}
	// Unregister takes the VMM away from the agent: Nexus answers for its state.
	Unregister struct{}
	// Kill removes it now, at the operator's word.
	Kill struct{}
)

// Reports. One that belongs to an effect which has been superseded is not
// delivered, or is delivered with an epoch that is not armed any more.
type (
	// ZoneBooted: the zone runs.
	ZoneBooted struct{}
	// Ensured: Propolis has the VM.
	Ensured struct{}
	// StartFailed: the zone could not be made or booted, or Propolis refused the VM.
	StartFailed struct{ Why string }
	// Answered: Propolis answered a request to change the VM's state.
	Answered struct {
		Action Action
		// Refused is set if Propolis said no. A request to run or to stop is
		// repeated instead and never reported as refused.
		Refused bool
		// NoVM is set if Propolis had no VM to ask: it is winding down, or lost.
		// Which of the two the monitor will tell.
		NoVM bool
	}
	// Observed: Propolis's monitor reported.
	Observed struct {
		State        PropolisState
		Gen          uint64
		MigrationIn  *ObservedMigration
		MigrationOut *ObservedMigration
	}
	// Lost: Propolis has no such VM any more, or nobody has listened for too long.
	Lost struct{ Why string }
	// ZoneEnded: the zone stopped running by itself.
	ZoneEnded struct{ Why string }
	// Expired: the deadline of this epoch has passed and the watchdog has begun
	// the removal.
	Expired struct{ Epoch uint64 }
	// ZoneGone: the zone was verified gone.
	ZoneGone struct{}
	// Acked: Nexus has acknowledged the record of this generation.
	Acked struct{ Gen uint64 }
	// GaveUp: the publisher has stopped offering the record of this generation.
	GaveUp struct{ Gen uint64 }
	// Resumed: the agent was restarted and has read the state from its ledger.
	// It is the first input of a new process: no effect of an earlier one is
	// under way, no deadline armed, no caller held.
	Resumed struct{}
	// HostRebooted is Resumed after a restart of the whole host: no zone runs.
	HostRebooted struct{}
)

func (Start) Kind() Kind        { return KindStart }
func (MigrateIn) Kind() Kind    { return KindMigrateIn }
func (Stop) Kind() Kind         { return KindStop }
func (Reboot) Kind() Kind       { return KindReboot }
func (Unregister) Kind() Kind   { return KindUnregister }
func (Kill) Kind() Kind         { return KindKill }
func (ZoneBooted) Kind() Kind   { return KindZoneBooted }
func (Ensured) Kind() Kind      { return KindEnsured }
func (StartFailed) Kind() Kind  { return KindStartFailed }
func (Answered) Kind() Kind     { return KindAnswered }
func (Observed) Kind() Kind     { return KindObserved }
func (Lost) Kind() Kind         { return KindLost }
func (ZoneEnded) Kind() Kind    { return KindZoneEnded }
func (Expired) Kind() Kind      { return KindExpired }
func (ZoneGone) Kind() Kind     { return KindZoneGone }
func (Acked) Kind() Kind        { return KindAcked }
func (GaveUp) Kind() Kind       { return KindGaveUp }
func (Resumed) Kind() Kind      { return KindResumed }
func (HostRebooted) Kind() Kind { return KindRebooted }
