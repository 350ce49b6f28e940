package vmm

import "time"

// An Effect is something that the caller of Step must do. It is one of the types below.
// Effects of one step are carried out in order, after the state was made
// durable; Arm and Disarm alone do not wait for that. At most one effect of a
// kind is under way (one Ask of an action): a later one takes its place. A stop
// takes the place of every other Ask. The removal of the zone ends them all, but
// for Publish.
type Effect interface{ effect() }

// An Action is what Propolis is asked to do.
type Action string

const (
	AskRun    Action = "Run"
	AskStop   Action = "Stop"
	AskReboot Action = "Reboot"
)

// Callers are those whom an answer goes to.
type Callers int

const (
	// Caller is who made the request of this very step.
	Caller Callers = iota
	// Unregisterers, Rebooters and Changers wait since an earlier step (Hold).
	Unregisterers
	Rebooters
	Changers
)

type (
	// Boot makes the zone and boots it; reports ZoneBooted or StartFailed. It is
	// not done, and Unsaved is reported, if the state cannot be saved: nothing
	// begins that the next process would not know of.
	Boot struct{}
	// Ensure gives Propolis the VM, once it is saved that the zone was booted; reports
	// Ensured or StartFailed.
	Ensure struct{}
	// Check looks at the zone until it can be told whether it still is the one
	// that was booted; reports Present or ZoneEnded, and Unsure until then.
	// Changes are reported from then on, as ZoneChanged.
	Check struct {
		// Rebooted and How go into the reason if the zone has ended.
		Rebooted bool
		How      string
		// Server asks the host after Propolis as well; reports Lost if the host has
		// given it up or no process of it lives.
		Server bool
	}
	// Ask puts a state to Propolis after a pause; reports Answered. To run and to
	// stop are repeated until they are accepted, superseded, or Propolis has no VM.
	Ask struct {
		Action Action
		After  time.Duration
		// Until is when Propolis is to force a stop or a reboot: until then the guest may
		// obey its power button. Zero, or passed: at once.
		Until time.Time
	}
	// Watch observes Propolis; reports Observed, Lost, Unsure and Present.
	Watch struct{}
	// Apply is application N of the VMM's networking to the host. It is repeated until it
	// succeeds; reports Applied after each try.
	Apply struct{ N uint64 }
	// Arm sets the VMM's deadline, in place of any earlier one.
	Arm struct{ Deadline Deadline }
	// Disarm drops the deadline.
	Disarm struct{}
	// Remove begins removal N of the zone, unless that has begun; one that is
	// under way is waited for first. Reports ZoneGone.
	Remove struct{ N uint64 }
	// Publish offers the newest record to Nexus once, after a pause, without its
	// migration records if it is still the one of generation Bare; reports Published.
	Publish struct {
		After time.Duration
		Bare  uint64
	}
	// Disown ends what is being published.
	Disown struct{}
	// Forget ends the VMM's own machinery.
	Forget struct{}
	// Answer sends callers the present record.
	Answer struct{ To Callers }
	// Hold keeps the caller waiting for an Answer or a Refuse to its group.
	Hold struct{ As Callers }
	// Refuse sends callers a refusal with its reason. ByPropolis means that
	// Propolis's own answer is the reason.
	Refuse struct {
		To         Callers
		Reason     Reason
		Detail     string
		ByPropolis bool
	}
)

func (Boot) effect()    {}
func (Ensure) effect()  {}
func (Check) effect()   {}
func (Ask) effect()     {}
func (Watch) effect()   {}
func (Apply) effect()   {}
func (Arm) effect()     {}
func (Disarm) effect()  {}
func (Remove) effect()  {}
func (Publish) effect() {}
func (Disown) effect()  {}
func (Forget) effect()  {}
func (Answer) effect()  {}
func (Hold) effect()    {}
func (Refuse) effect()  {}
