package vmm

import (
	"fmt"
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
	KindSetNetwork
	KindUnregister
	KindKill
	KindZoneBooted
	KindEnsured
	KindStartFailed
	KindUnsaved
	KindApplied
	KindNetUnsaved
	KindAnswered
	KindObserved
	KindLost
	KindZoneChanged
	KindPresent
	KindUnsure
	KindZoneEnded
	KindExpired
	KindZoneGone
	KindPublished
	KindSlept
	KindResumed

	numKinds = int(KindResumed) + 1
)

var kindNames = [numKinds]string{"Start", "MigrateIn", "Stop", "Reboot", "SetNetwork", "Unregister", "Kill",
	"ZoneBooted", "Ensured", "StartFailed", "Unsaved", "Applied", "NetUnsaved", "Answered", "Observed", "Lost", "ZoneChanged",
	"Present", "Unsure", "ZoneEnded", "Expired", "ZoneGone", "Published", "Slept", "Resumed"}

func (k Kind) String() string {
	if k < 0 || int(k) >= numKinds {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

func (Start) Kind() Kind       { return KindStart }
func (MigrateIn) Kind() Kind   { return KindMigrateIn }
func (Stop) Kind() Kind        { return KindStop }
func (Reboot) Kind() Kind      { return KindReboot }
func (SetNetwork) Kind() Kind  { return KindSetNetwork }
func (Unregister) Kind() Kind  { return KindUnregister }
func (Kill) Kind() Kind        { return KindKill }
func (ZoneBooted) Kind() Kind  { return KindZoneBooted }
func (Ensured) Kind() Kind     { return KindEnsured }
func (StartFailed) Kind() Kind { return KindStartFailed }
func (Unsaved) Kind() Kind     { return KindUnsaved }
func (Applied) Kind() Kind     { return KindApplied }
func (NetUnsaved) Kind() Kind  { return KindNetUnsaved }
func (Answered) Kind() Kind    { return KindAnswered }
func (Observed) Kind() Kind    { return KindObserved }
func (Lost) Kind() Kind        { return KindLost }
func (ZoneChanged) Kind() Kind { return KindZoneChanged }
func (Present) Kind() Kind     { return KindPresent }
func (Unsure) Kind() Kind      { return KindUnsure }
func (ZoneEnded) Kind() Kind   { return KindZoneEnded }
func (Expired) Kind() Kind     { return KindExpired }
func (ZoneGone) Kind() Kind    { return KindZoneGone }
func (Published) Kind() Kind   { return KindPublished }
func (Slept) Kind() Kind       { return KindSlept }
func (Resumed) Kind() Kind     { return KindResumed }
