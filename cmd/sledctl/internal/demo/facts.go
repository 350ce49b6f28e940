package demo

import (
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
)

// facts are all that has been found out about one VMM.
type facts struct {
	role role
	id   uuid.UUID
	// running is when Nexus was first seen to hold the VMM for running.
	running time.Time
	// sent and answered enclose the moment at which the stop was accepted.
	sent, answered time.Time
	// refusal is why the stop was not accepted; empty if it was.
	refusal string
	// things are what it had of the host when it ran, and pid is its server's
	// process; dead is when that was first seen to be no more.
	things []thing
	pid    int
	dead   time.Time
	// forgotten is when the agent first said that it knows no such VMM, and
	// atNexus what Nexus held right after that.
	forgotten time.Time
	atNexus   vmm.WireState
	// events are the agent's, in order; lost counts those that did not arrive.
	events []vmm.Event
	lost   int
	// The rest is found at the end.
	row        nexussim.Row
	violations []nexussim.Violation
	// left names what should be gone and is not.
	left []string
}

// The kinds of the agent's events that tell of a VMM's end.
const (
	kindAsked     = "asked"
	kindDeadline  = "deadline"
	kindRemoval   = "removal"
	kindKill      = "kill"
	kindGone      = "gone"
	kindPublished = "published"
)

// A timeline says when the steps of a VMM's end were taken, counted from the
// request to stop it. A step that was not taken is nil.
type timeline struct {
	asked, deadline, removal, kill, gone, published *time.Duration
}

// timeline picks the steps from the events. Of the records that Nexus has
// acknowledged, the one after the zone was gone is the one that counts.
func (f facts) timeline() timeline {
	var t timeline
	if f.sent.IsZero() {
		return t
	}
	first := func(step **time.Duration, at time.Time) {
		if *step == nil {
			since := at.Sub(f.sent)
			*step = &since
		}
	}
	for _, e := range f.events {
		if e.At.Before(f.sent) {
			continue
		}
		switch e.Kind {
		case kindAsked:
			first(&t.asked, e.At)
		case kindDeadline:
			first(&t.deadline, e.At)
		case kindRemoval:
			first(&t.removal, e.At)
		case kindKill:
			first(&t.kill, e.At)
		case kindGone:
			first(&t.gone, e.At)
		case kindPublished:
			if t.gone != nil {
				first(&t.published, e.At)
			}
		}
	}
	return t
}

// over tells whether nothing more is to be expected of the VMM.
func (f facts) over() bool { return f.refusal != "" || !f.forgotten.IsZero() && !f.dead.IsZero() }
