package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
)

// A Mode is one kind of fault: a row of the table that propolis-sim modes prints.
type Mode struct {
	// Name is the mode's name; CALL and STATE stand for one of Of.
	Name string
	// Of lists the possible last parts of the name; empty if it is fixed.
	Of []string
	// Value is what follows the name, such as "=DURATION"; in brackets if it is
	// optional.
	Value string
	// Does describes the fault.
	Does string

	apply  func(f *Faults, objects []string, v value)
	unless time.Duration // the default duration
}

// The kinds of values. Durations are Go's ("5s", "1m30s").
const (
	none     = ""
	duration = "=DURATION"
	interval = "[=DURATION]"
	status   = "=STATUS[:CODE][*TIMES]"
	phase    = "[=PHASE]"
	identity = "[=UUID]"
)

const all = "all"

var (
	anyCall   = append(slices.Clone(server.CallNames[:]), all)
	requests  = []string{"run", "stop", "reboot", all}
	stayable  = []string{"creating", "starting", "running", "stopping", "stopped", "rebooting", "migrating"}
	enterable = append(slices.Clone(stayable), "failed", "destroyed")
)

// Modes returns the table of faults.
func Modes() []Mode { return modes }

var modes = []Mode{
	{"hang-CALL", anyCall, none, "takes the request and never answers; the call is not carried out", treat("hang"), 0},
	{"deaf-CALL", anyCall, none, "reads the request's headers only and never answers (run, stop and reboot are told " +
		"apart by their body, so it is read)", treat("deaf"), 0},
	{"mute-CALL", anyCall, none, "carries the call out and never answers", treat("mute"), 0},
	{"half-CALL", anyCall, none, "carries the call out, sends half of the response and then nothing", treat("half"), 0},
	{"trickle-CALL", anyCall, interval, "carries the call out and sends the response byte by byte, one each DURATION (1s)",
		onCalls(func(c *callFaults, v value) { c.manner, c.every = "trickle", v.duration }), time.Second},
	{"reset-CALL", anyCall, none, "closes the connection without an answer; the call is not carried out", treat("reset"), 0},
	{"garbage-CALL", anyCall, none, "carries the call out and answers 200 with text that is not JSON", treat("garbage"), 0},
	{"babble-CALL", anyCall, none, "carries the call out and answers with text that is not HTTP", treat("babble"), 0},
	{"flood-CALL", anyCall, none, "carries the call out and answers 200 with a body that never ends", treat("flood"), 0},
	{"headers-CALL", anyCall, none, "carries the call out and answers 200 with headers that never end", treat("headers"), 0},
	{"interim-CALL", anyCall, none, "carries the call out and sends interim answers (103) without end", treat("interim"), 0},
	{"switch-CALL", anyCall, none, "carries the call out, answers 101 Switching Protocols and goes on with text that is not HTTP",
		treat("switch"), 0},
	{"redirect-CALL", anyCall, none, "carries the call out and answers 307 with the path of the same call", treat("redirect"), 0},
	{"stray-CALL", anyCall, none, "carries the call out, answers it and goes on, unasked, to answer that there is no VM", treat("stray"), 0},
	{"refuse-CALL", anyCall, status, "answers with this status and error_code; the call is not carried out; the first " +
		"TIMES times, or always", onCalls(func(c *callFaults, v value) { c.refuse = v.refuse }), 0},
	{"storm", nil, none, "answers every call at once with 500 Internal", func(f *Faults, _ []string, _ value) {
		f.calls(anyCall, func(c *callFaults) { c.refuse = refused{status: 500, code: "Internal"} })
	}, 0},
	{"slow-CALL", anyCall, duration, "waits before it carries the call out",
		onCalls(func(c *callFaults, v value) { c.slow = v.duration }), 0},
	{"ignore-CALL", requests, none, "answers 204 and does nothing", onCalls(func(c *callFaults, _ value) { c.ignore = true }), 0},
	{"stay-STATE", stayable, none, "never leaves the state (creating: PUT /instance hangs; migrating: stays in a phase)",
		func(f *Faults, states []string, _ value) { f.stay = append(f.stay, stateOf(states[0])) }, 0},
	{"crash-in-STATE", enterable, none, "the process kills itself when the VM enters the state",
		func(f *Faults, states []string, _ value) { f.crashIn = append(f.crashIn, stateOf(states[0])) }, 0},
	{"crash-before-CALL", anyCall, none, "the process kills itself instead of carrying the call out", treat("crash-before"), 0},
	{"crash-on-CALL", anyCall, none, "the call is carried out and answered, then the process kills itself", treat("crash-on"), 0},
	{"crash-after", nil, duration, "the process kills itself after a while", timed("crash", false), 0},
	{"exit-after", nil, duration, "the process exits with status 1 after a while", timed("exit", false), 0},
	{"freeze-after", nil, duration, "the process stops itself (SIGSTOP) after a while", timed("freeze", false), 0},
	{"escape", nil, interval, "starts a process that leaves its session and parent, ignores SIGTERM and sleeps for " +
		"DURATION (10m)", func(f *Faults, _ []string, v value) { f.escape = v.duration }, 10 * time.Minute},
	{"ignore-term", nil, none, "the process ignores SIGTERM", flag(func(f *Faults) *bool { return &f.ignoreTerm }), 0},
	{"poweroff-after", nil, duration, "the guest powers itself off when it has run for a while", timed("guest-poweroff", true), 0},
	{"poweroff-hang", nil, duration, "the guest powers itself off when it has run for a while, and hangs in Stopping",
		func(f *Faults, _ []string, v value) {
			f.stay = append(f.stay, server.Stopping)
			timed("guest-poweroff", true)(f, nil, v)
		}, 0},
	{"lose-vm-after", nil, duration, "the VM is gone when it has run for a while, as after a restart of the server: " +
		"424 everywhere", timed("lose-vm", true), 0},
	{"obey-after", nil, duration, "the guest shuts down a while after its power button was pressed, and not at once",
		func(f *Faults, _ []string, v value) { f.obeyAfter = v.duration }, 0},
	{"ignore-button", nil, none, "the guest ignores its power button, or hangs while it shuts down; a soft stop or reboot is " +
		"forced when its time is over", flag(func(f *Faults) *bool { return &f.ignoreButton }), 0},
	{"hang-soft", nil, none, "a soft stop or reboot waits for the guest for ever; only a hard one ends that",
		flag(func(f *Faults) *bool { return &f.defects.HangSoft }), 0},
	{"fail-create", nil, none, "PUT /instance of a cold start answers 500 and the VM is Failed",
		flag(func(f *Faults) *bool { return &f.failCreate }), 0},
	{"fail-start", nil, none, "a Run ends in Failed", flag(func(f *Faults) *bool { return &f.failStart }), 0},
	{"fail-migration", nil, phase, "a migration, in or out, fails at the end of PHASE (RamPush)",
		func(f *Faults, _ []string, v value) { f.failMigration = v.phase }, 0},
	{"both-migrations", nil, none, "the last migration is reported as one in and as one out, under one id",
		flag(func(f *Faults) *bool { return &f.bothMigrations }), 0},
	{"unknown-migration", nil, identity, "migrations are reported under an unknown id; without any, one out that " +
		"has failed", setID(func(f *Faults) *uuid.UUID { return &f.unknownMigration }), 0},
	{"wrong-instance", nil, identity, "GET /instance and GET /instance/spec show another instance's id",
		setID(func(f *Faults) *uuid.UUID { return &f.defects.Instance }), 0},
	{"fall-back-after", nil, duration, "when the guest has run for a while the server forgets the VM's state and reports " +
		"Destroyed in generation 1", timed("fall-back", true), 0},
	{"backwards", nil, none, "generations fall instead of rising", flag(func(f *Faults) *bool { return &f.defects.Backwards }), 0},
}

func stateOf(name string) server.State { return server.State(strings.ToUpper(name[:1]) + name[1:]) }

// calls applies a change to the faults of several calls.
func (f *Faults) calls(names []string, change func(*callFaults)) {
	for c, name := range server.CallNames {
		if slices.Contains(names, name) {
			change(&f.on[c])
		}
	}
}

func onCalls(change func(*callFaults, value)) func(*Faults, []string, value) {
	return func(f *Faults, calls []string, v value) { f.calls(calls, func(c *callFaults) { change(c, v) }) }
}

func treat(as string) func(*Faults, []string, value) {
	return onCalls(func(c *callFaults, _ value) { c.manner = as })
}

func flag(which func(*Faults) *bool) func(*Faults, []string, value) {
	return func(f *Faults, _ []string, _ value) { *which(f) = true }
}

func setID(which func(*Faults) *uuid.UUID) func(*Faults, []string, value) {
	return func(f *Faults, _ []string, v value) { *which(f) = v.id }
}

func timed(action string, guest bool) func(*Faults, []string, value) {
	return func(f *Faults, _ []string, v value) {
		f.timed = append(f.timed, timedAction{after: v.duration, action: action, guest: guest})
	}
}
