package main

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A role is how one VMM of the demo behaves when it is to stop.
type role struct {
	name string
	// story describes the behavior, as in "this VMM ...".
	story string
	// faults are propolis-sim's modes as JSON, set once the VMM runs.
	faults string
	// guest is what a real guest does; nil for a simulated one.
	guest *guest
	// byItself: no stop is requested; the guest powers itself off.
	byItself bool
	// stubborn: it runs until it is removed by force.
	stubborn bool
}

// A guest is what a real guest is told on its console, and what is done to it.
type guest struct {
	memory uint64 // in MiB
	// typed is told when it has booted, and its answer contains said. dying is told after
	// the stop.
	typed, said, dying string
	// frozen: QEMU and the server are stopped by a signal before the stop.
	frozen bool
}

// roles returns the VMMs of the demo, in display order.
func roles(backend string) []role {
	if backend == "qemu" {
		return realRoles
	}
	return simulatedRoles
}

// guestMemory is enough for the guest to boot, in MiB.
const guestMemory = 128

var realRoles = []role{
	{name: "obedient", story: "shuts down when its power button is pressed", guest: &guest{memory: guestMemory}},
	{name: "deaf", story: "ignores its power button, and is stopped by its server",
		guest: &guest{memory: guestMemory, typed: "ignore", said: "guest ignores"}},
	{name: "panicked", story: "panics when it is to shut down", guest: &guest{memory: guestMemory, typed: "ignore", said: "guest ignores", dying: "panic"}},
	{name: "frozen", story: "has 1 GiB of touched memory, and stands still, as does its server", stubborn: true,
		guest: &guest{memory: 1024 + 4*guestMemory, typed: "fill 1024", said: "guest filled", frozen: true}},
}

var simulatedRoles = []role{
	{name: "obedient", story: "shuts down when it is asked to", faults: "[]"},
	{name: "deaf", story: "accepts the stop and keeps running", faults: `["ignore-stop"]`, stubborn: true},
	{name: "hung", story: "never answers the request to stop", faults: `["hang-stop"]`, stubborn: true},
	{name: "crasher", story: "crashes in the middle of stopping", faults: `["crash-in-stopping"]`},
	{name: "quitter", story: "is powered off by its own guest", faults: "[]", byItself: true},
}

// facts are what is known about one VMM.
type facts struct {
	role
	id   uuid.UUID
	addr string // where its Propolis serves
	// The stop was accepted between sent and answered.
	sent, answered time.Time
	// refusal is why the stop was not accepted; empty if it was.
	refusal string
	// zone holds the names of the zone and of its resources, pid is the server's
	// process, and dead is when that was first seen to have ended.
	zone []string
	pid  int
	dead time.Time
	// forgotten is when the agent first denied knowing the VMM, and atNexus the state
	// in Nexus right after that.
	forgotten time.Time
	atNexus   string
	// state is the VMM's state in Nexus, events are the agent's events in order.
	state  string
	events []event
	// left names what remains at the end and should not; contradictions are those that
	// nexus-sim has recorded for the VMM.
	left, contradictions []string
}

// An event is an event of a VMM in the agent's admin API.
type event struct {
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
}

// timeline returns the time of the first event of each kind, counted from the stop
// request. Of the acknowledgments by Nexus, the first one after the zone's removal
// counts.
func (f facts) timeline() map[string]time.Duration {
	t := map[string]time.Duration{}
	for _, e := range f.events {
		_, known := t[e.Kind]
		_, gone := t["gone"]
		if f.sent.IsZero() || known || e.At.Before(f.sent) || e.Kind == "published" && !gone {
			continue
		}
		t[e.Kind] = e.At.Sub(f.sent)
	}
	return t
}

// over reports whether no more events are expected of the VMM.
func (f facts) over() bool { return f.refusal != "" || !f.forgotten.IsZero() && !f.dead.IsZero() }

// lateness is the allowed delay between a deadline and the removal.
const lateness = time.Second

// judge returns the broken promises of a VMM that was stopped with the given grace,
// as "  broken (LETTER): how".
func (f facts) judge(grace time.Duration) (out []string) {
	broken := func(promise, format string, args ...any) {
		out = append(out, fmt.Sprintf("  broken (%s): %s", promise, fmt.Sprintf(format, args...)))
	}
	if f.refusal != "" {
		broken("D", "the stop was not accepted: %s", f.refusal)
		return out
	}
	f.judgeDeadline(grace, broken)
	if f.dead.IsZero() {
		broken("Z", "process %d of its zone still runs", f.pid)
	}
	for _, left := range f.left {
		broken("Z", "%s is left behind", left)
	}
	if f.state != "destroyed" {
		broken("T", "its state in Nexus is %q, not destroyed", f.state)
	}
	for _, text := range f.contradictions {
		broken("T", "Nexus received contradictory records: %s", text)
	}
	switch {
	case f.forgotten.IsZero():
		broken("L", "the agent has not forgotten it")
	case f.atNexus != "destroyed" && f.atNexus != "failed":
		broken("N", "the agent forgot it while its state in Nexus was %q", f.atNexus)
	}
	return out
}

// judgeDeadline compares the removal with the deadline. It allows for the uncertainty
// of when the stop was accepted, between sent and answered.
func (f facts) judgeDeadline(grace time.Duration, broken func(promise, format string, args ...any)) {
	removal, ok := f.timeline()["removal"]
	if !ok {
		broken("D", "no removal was reported")
		return
	}
	if latest := f.answered.Sub(f.sent) + grace + lateness; removal > latest {
		broken("D", "the removal began %ss after the stop, %ss was the limit", seconds(removal), seconds(latest))
	}
	if !f.stubborn {
		return
	}
	if removal < grace {
		broken("D", "the removal began after %ss, before its %ss were over", seconds(removal), seconds(grace))
	}
	if death := f.dead.Sub(f.sent); !f.dead.IsZero() && death < grace {
		broken("D", "its process died after %ss, before its %ss were over", seconds(death), seconds(grace))
	}
}
