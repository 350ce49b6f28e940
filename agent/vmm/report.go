package vmm

import "time"

// Requests.
type (
	// Start asks to run the VM from its spec.
	Start struct{}
	// MigrateIn asks to run it by migration from the Propolis at Src.
	MigrateIn struct{ Src string }
	// Stop asks to stop it. A nil Grace means the default. Soft is how long the guest
	// may take to power off after its power button was pressed, before Propolis stops it
	// by force; without it, that is done at once and the button is not pressed.
	Stop struct {
		By    Who
		Grace *time.Duration
		Soft  time.Duration
	}
	// Reboot asks to restart its guest, with Soft as for a stop.
	Reboot struct{ Soft time.Duration }
	// Unregister takes the VMM away from the agent: Nexus answers for its state.
	Unregister struct{}
	// Kill removes it now, as the operator asked.
	Kill struct{ By Who }
)

// Reports of a start. Each is the return of its effect, and is delivered whatever
// has become of the VMM meanwhile.
type (
	// ZoneBooted: the zone runs.
	ZoneBooted struct{}
	// Ensured: Propolis has the VM.
	Ensured struct{}
	// StartFailed: the zone could not be made or booted, or Propolis refused the VM.
	StartFailed struct{ Why string }
	// Unsaved: the state in which a start was accepted could not be saved, so the
	// start was refused and nothing of it was done.
	Unsaved struct{}
)

// Reports of what Propolis says. One that belongs to an effect which has been
// superseded is not delivered.
type (
	// Answered: Propolis was asked to change the VM's state. A request to run or
	// to stop is repeated until it is accepted, so that only a reboot is Refused.
	Answered struct {
		Action  Action
		Refused bool
		// Until is that of the request.
		Until time.Time
		// NoVM is set if Propolis had no VM to ask: it is not active yet, or winding
		// down, or lost.
		NoVM bool
		// Unreachable is set if the connection was refused; the asking goes on.
		Unreachable bool
	}
	// Observed: Propolis's monitor reported.
	Observed struct {
		State        PropolisState
		Gen          uint64
		MigrationIn  *ObservedMigration
		MigrationOut *ObservedMigration
	}
	// Lost: the server has no such VM any more, or there is no server.
	Lost struct{ Why string }
)

// A Subject is what a question is about.
type Subject string

const (
	OfZone   Subject = "zone"
	OfServer Subject = "propolis"
)

// The three answers to a question about what a VMM needs, and the hint that one
// has to be asked.
type (
	// ZoneChanged: something unexpected was seen of the zone. It
	// proves nothing; the zone is looked at.
	ZoneChanged struct{ How string }
	// Present: it is there.
	Present struct{ Of Subject }
	// Unsure: it is not known whether it exists. The question is asked again.
	Unsure struct {
		Of  Subject
		Why string
	}
	// ZoneEnded: the boot of the zone in which the VM ran has ended, and Why says
	// what proves it.
	ZoneEnded struct{ Why string }
)

// Reports of the watchdog, which numbers the removals of a VMM from 1. Of one
// removal Expired, if it was begun by a deadline, comes before ZoneGone.
type (
	// Expired: the deadline of this epoch has passed and removal N has begun.
	Expired struct{ Epoch, N uint64 }
	// ZoneGone: removal N has verified that the zone is gone.
	ZoneGone struct{ N uint64 }
)

// What the agent's own surroundings report.
type (
	// Published: the record of this generation was offered to Nexus.
	Published struct {
		Gen   uint64
		Heard Heard
		// Bare is set if its migration records were left out.
		Bare bool
		Why  string
	}
	// Slept: the host was suspended for this long, in which the process's own
	// clock stood still.
	Slept struct{ For time.Duration }
	// Resumed: the agent was restarted and has read the state from its ledger.
	// It is the first input of a new process: no effect of an earlier one is
	// under way, no deadline armed, no caller held.
	Resumed struct {
		// Rebooted is set if the host is known to have booted since the state was
		// saved. Where a zone has run, its boot decides whether the VMM has ended.
		Rebooted bool
	}
)
