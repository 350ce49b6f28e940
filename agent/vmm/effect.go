package vmm

import "time"

// An Effect is something that Step wants done. It is one of the types below.
// Effects of one step are carried out in order, after the state was made
// durable; Arm alone does not wait for that. A later effect of the same kind
// takes the place of an earlier one that is still under way, and Remove ends
// every other effect on the zone and on Propolis.
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
	// Unregisterers and Rebooters wait since an earlier step (Hold).
	Unregisterers
	Rebooters
)

type (
	// Boot makes the zone and boots it; reports ZoneBooted or StartFailed.
	Boot struct{}
	// Adopt checks that the zone that runs is the one that was booted; reports
	// ZoneEnded if not, and later when it ends.
	Adopt struct{}
	// Ensure gives Propolis the VM; reports Ensured or StartFailed.
	Ensure struct{}
	// Ask puts a state to Propolis; reports Answered. To run and to stop are
	// repeated until they are accepted, superseded or the VM is winding down;
	// to reboot is tried once.
	Ask struct{ Action Action }
	// Watch begins to observe Propolis; reports Observed and Lost.
	Watch struct{}
	// Arm sets the VMM's deadline, in place of any earlier one.
	Arm struct{ Deadline Deadline }
	// Disarm drops the deadline.
	Disarm struct{}
	// Remove begins the zone's removal, unless it has begun; reports ZoneGone.
	Remove struct{}
	// Publish offers the record to Nexus; reports Acked or GaveUp.
	Publish struct{}
	// Disown makes sure that nothing is published any more.
	Disown struct{}
	// Forget ends the VMM's own machinery.
	Forget struct{}
	// Answer tells callers the record as it is now.
	Answer struct{ To Callers }
	// Hold keeps the caller waiting for an Answer or a Refuse to its group.
	Hold struct{ As Callers }
	// Refuse tells callers that it was not done, and why. ByPropolis means that
	// Propolis's own answer is the reason.
	Refuse struct {
		To         Callers
		Reason     Reason
		Detail     string
		ByPropolis bool
	}
)

func (Boot) effect()    {}
func (Adopt) effect()   {}
func (Ensure) effect()  {}
func (Ask) effect()     {}
func (Watch) effect()   {}
func (Arm) effect()     {}
func (Disarm) effect()  {}
func (Remove) effect()  {}
func (Publish) effect() {}
func (Disown) effect()  {}
func (Forget) effect()  {}
func (Answer) effect()  {}
func (Hold) effect()    {}
func (Refuse) effect()  {}

// clamp keeps a grace period between zero and the maximum.
func (l Limits) clamp(grace *time.Duration) time.Duration {
	if grace == nil {
		return min(l.StopGrace, l.MaxStopGrace)
	}
	return min(max(*grace, 0), l.MaxStopGrace)
}
