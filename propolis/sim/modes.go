package sim

import (
	"slices"
	"strings"
	"time"
)

// A Mode is one row of the table of faults, for people.
type Mode struct {
	// Name is what to write; CALL and STATE stand for one of Of.
	Name string
	// Value is what follows the name, such as "=DURATION"; empty for nothing.
	Value string
	// Does says what the simulator then does.
	Does string
	// Of lists what the last part of the name may be; empty if it is fixed.
	Of []string
}

// Modes returns the table of faults.
func Modes() []Mode {
	table := make([]Mode, len(modes))
	for i, m := range modes {
		table[i] = Mode{Name: m.name, Value: string(m.value), Does: m.does, Of: slices.Clone(m.of)}
	}
	return table
}

// A mode is one kind of fault: how it is written, what it does and how it
// changes a faultSet.
type mode struct {
	name  string
	of    []string // what CALL or STATE in the name may be
	value valueKind
	does  string
	apply func(f *faultSet, objects []string, value string) error
}

// A valueKind is how a mode's value is shown; brackets mean that it may be left out.
type valueKind string

const (
	none     valueKind = ""
	duration valueKind = "=DURATION"
	interval valueKind = "[=DURATION]"
	status   valueKind = "=STATUS[:CODE][*TIMES]"
	phase    valueKind = "[=PHASE]"
)

func (k valueKind) required() bool { return strings.HasPrefix(string(k), "=") }

const all = "all"

var (
	anyCall   = append(slices.Clone(callNames[:]), all)
	requests  = []string{"run", "stop", "reboot", all}
	stayable  = []string{"creating", "starting", "running", "stopping", "stopped", "rebooting", "migrating"}
	enterable = []string{"creating", "starting", "running", "stopping", "stopped", "rebooting", "migrating",
		"failed", "destroyed"}
)

// modes is the table. Durations are Go's ("5s", "1m30s").
var modes = []mode{
	{"hang-CALL", anyCall, none, "takes the request and never answers; the call is not carried out", treat(hang)},
	{"deaf-CALL", anyCall, none, "reads the request's headers only and never answers (run, stop and reboot are told " +
		"apart by their body, so it is read)", treat(deaf)},
	{"mute-CALL", anyCall, none, "carries the call out and never answers", treat(mute)},
	{"half-CALL", anyCall, none, "carries the call out, sends half of the response and then nothing", treat(half)},
	{"trickle-CALL", anyCall, interval, "carries the call out and sends the response byte by byte, one each DURATION (1s)",
		setTrickle},
	{"reset-CALL", anyCall, none, "closes the connection without an answer; the call is not carried out", treat(reset)},
	{"garbage-CALL", anyCall, none, "carries the call out and answers 200 with something that is no JSON", treat(garble)},
	{"babble-CALL", anyCall, none, "carries the call out and answers with something that is no HTTP", treat(babble)},
	{"flood-CALL", anyCall, none, "carries the call out and answers 200 with a body that never ends", treat(flood)},
	{"refuse-CALL", anyCall, status, "answers with this status and error_code; the call is not carried out; the first " +
		"TIMES times, or always", setRefuse},
	{"storm", nil, none, "answers every call at once with 500 Internal", setStorm},
	{"slow-CALL", anyCall, duration, "waits before it carries the call out", setSlow},
	{"ignore-CALL", requests, none, "answers 204 and does nothing", setIgnore},
	{"stay-STATE", stayable, none, "never leaves the state (creating: PUT /instance hangs; migrating: stays in a phase)",
		setStates(func(f *faultSet) *[]State { return &f.stay })},
	{"crash-in-STATE", enterable, none, "the process kills itself when the VM enters the state",
		setStates(func(f *faultSet) *[]State { return &f.crashIn })},
	{"crash-before-CALL", anyCall, none, "the process kills itself instead of carrying the call out", treat(crashAt)},
	{"crash-on-CALL", anyCall, none, "the call is carried out and answered, then the process kills itself", treat(crashBehind)},
	{"crash-after", nil, duration, "the process kills itself after a while", setTimed("crash", false)},
	{"exit-after", nil, duration, "the process exits with status 1 after a while", setTimed("exit", false)},
	{"freeze-after", nil, duration, "the process stops itself (SIGSTOP) after a while", setTimed("freeze", false)},
	{"escape", nil, interval, "starts a process that leaves its session and parent, ignores SIGTERM and sleeps for " +
		"DURATION (10m)", setEscape},
	{"ignore-term", nil, none, "the process ignores SIGTERM", flag(func(f *faultSet) *bool { return &f.ignoreTerm })},
	{"poweroff-after", nil, duration, "the guest powers itself off when it has run for a while", setTimed("guest-poweroff", true)},
	{"poweroff-hang", nil, duration, "the guest powers itself off when it has run for a while, and hangs in Stopping",
		setPoweroffHang},
	{"lose-vm-after", nil, duration, "the VM is gone when it has run for a while, as after a restart of the server: " +
		"424 everywhere", setTimed("lose-vm", true)},
	{"fail-create", nil, none, "PUT /instance of a cold start answers 500 and the VM is Failed",
		flag(func(f *faultSet) *bool { return &f.failCreate })},
	{"fail-start", nil, none, "a Run ends in Failed", flag(func(f *faultSet) *bool { return &f.failStart })},
	{"fail-migration", nil, phase, "a migration, in or out, fails at the end of PHASE (RamPush)", setFailMigration},
	{"backwards", nil, none, "generations fall instead of rising", flag(func(f *faultSet) *bool { return &f.backwards })},
}

// match tells whether a mode is written with this name and, if the name ends in
// one of several objects, which these are.
func (m *mode) match(name string) (objects []string, ok bool) {
	if m.of == nil {
		return nil, name == m.name
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(m.name, "CALL"), "STATE")
	object, ok := strings.CutPrefix(name, stem)
	switch {
	case !ok || !slices.Contains(m.of, object):
		return nil, false
	case object == all:
		return m.of, true
	}
	return []string{object}, true
}

func treat(as manner) func(*faultSet, []string, string) error {
	return func(f *faultSet, calls []string, _ string) error {
		f.calls(calls, func(c *callFaults) { c.manner = as })
		return nil
	}
}

func flag(which func(*faultSet) *bool) func(*faultSet, []string, string) error {
	return func(f *faultSet, _ []string, _ string) error {
		*which(f) = true
		return nil
	}
}

func setTrickle(f *faultSet, calls []string, value string) error {
	every, err := parseDuration(value, time.Second)
	f.calls(calls, func(c *callFaults) { c.manner, c.every = trickle, every })
	return err
}

func setRefuse(f *faultSet, calls []string, value string) error {
	r, err := parseRefusal(value)
	f.calls(calls, func(c *callFaults) { c.refuse = r })
	return err
}

func setStorm(f *faultSet, _ []string, _ string) error {
	f.calls(anyCall, func(c *callFaults) { c.refuse = refusal{status: 500, code: "Internal"} })
	return nil
}

func setSlow(f *faultSet, calls []string, value string) error {
	d, err := parseDuration(value, 0)
	f.calls(calls, func(c *callFaults) { c.slow = d })
	return err
}

func setIgnore(f *faultSet, calls []string, _ string) error {
	f.calls(calls, func(c *callFaults) { c.ignore = true })
	return nil
}

func setStates(which func(*faultSet) *[]State) func(*faultSet, []string, string) error {
	return func(f *faultSet, objects []string, _ string) error {
		states := which(f)
		for _, o := range objects {
			*states = append(*states, State(strings.ToUpper(o[:1])+o[1:]))
		}
		return nil
	}
}

func setTimed(action string, guest bool) func(*faultSet, []string, string) error {
	return func(f *faultSet, _ []string, value string) error {
		d, err := parseDuration(value, 0)
		f.timed = append(f.timed, timedAction{after: d, action: action, guest: guest})
		return err
	}
}

func setPoweroffHang(f *faultSet, _ []string, value string) error {
	f.stay = append(f.stay, Stopping)
	return setTimed("guest-poweroff", true)(f, nil, value)
}

func setEscape(f *faultSet, _ []string, value string) error {
	d, err := parseDuration(value, 10*time.Minute)
	f.escape = d
	return err
}

func setFailMigration(f *faultSet, _ []string, value string) error {
	p, err := parsePhase(value)
	f.failMigration = p
	return err
}
