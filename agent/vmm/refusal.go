package vmm

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

// A Reason says why a request was refused.
type Reason int

const (
	// Unknown: no such VMM here, and none whose end Nexus does not know yet.
	Unknown Reason = iota
	// Loading: the agent has not yet loaded what it knew before its restart.
	Loading
	// Terminating: the VMM is on its way out and will not do this any more.
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
)

var reasonNames = [...]string{"no such VMM", "still loading", "VMM is terminating", "conflict",
	"too many requests", "VMM is not running", "agent is draining", "timed out", "superseded"}

func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasonNames) {
		return "unknown reason"
	}
	return reasonNames[r]
}
