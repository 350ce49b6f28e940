package vmm

import "errors"

// A Refusal is a request that the agent did not carry out, and why. It is an
// error; the sled API gives each Reason its status code.
type Refusal struct {
	Reason Reason
	// Detail is for people; it names the field or the state that is in the way.
	Detail string
}

func (r *Refusal) Error() string {
	if r.Detail == "" {
		return r.Reason.String()
	}
	return r.Reason.String() + ": " + r.Detail
}

// Refused reports whether an error is a Refusal for a reason.
func Refused(err error, why Reason) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.Reason == why
}

// A Reason says why a request was refused.
type Reason int

const (
	// Unknown: no such VMM here, and none whose end Nexus does not know yet.
	Unknown Reason = iota
	// Loading: the agent has not yet loaded what it knew before its restart.
	Loading
	// Terminating: the VMM is stopping or has ended.
	Terminating
	// Conflict: what is asked contradicts what is registered.
	Conflict
	// Busy: too many requests of this kind wait already.
	Busy
	// NotRunning: the VMM has no Propolis to ask.
	NotRunning
	// Draining: the agent is about to exit and takes nothing new on.
	Draining
	// TimedOut: Propolis did not answer within its budget.
	TimedOut
	// Superseded: a later request took this one's place.
	Superseded
	// TooEarly: the VM has not come so far that this could be done.
	TooEarly
	// Unwritable: the ledger cannot be written, so nothing is begun.
	Unwritable
	// Unreadable: part of the ledger cannot be read, and the VMM may be in that part.
	Unreadable
	// Invalid: the request cannot be carried out for this VMM, as it was registered.
	Invalid
	// Attached: the subnet is attached already.
	Attached
	// Full: the sled has as many VMMs, or as long registrations, as the agent keeps.
	Full
	// Evacuating: the sled is being emptied, so no VMM is registered or started.
	Evacuating
	// NoZone: the agent has no such zone.
	NoZone
)

var reasonNames = [...]string{"no such VMM", "still loading", "VMM is terminating", "conflict",
	"too many requests", "VMM is not running", "agent is draining", "timed out", "superseded",
	"too early", "ledger cannot be written", "ledger cannot be read",
	"invalid request", "subnet is attached already", "agent is full", "sled is being evacuated", "no such zone"}

func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasonNames) {
		return "unknown reason"
	}
	return reasonNames[r]
}
