package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Faults are what a simulator does wrong. The zero value is none. A value never
// changes and may be shared; see ParseFaults.
type Faults struct{ set *faultSet }

// faultSet is what the modes of one value amount to.
type faultSet struct {
	modes         []string
	on            [numCalls]callFaults
	stay, crashIn []State
	failCreate    bool
	failStart     bool
	failMigration Phase
	backwards     bool
	ignoreTerm    bool
	escape        time.Duration // how long the escaped process lives; 0: there is none
	timed         []timedAction
}

// callFaults are the faults of one call.
type callFaults struct {
	manner manner
	every  time.Duration // between two bytes of a trickle
	slow   time.Duration
	ignore bool
	refuse refusal
}

// A refusal answers a call with an error instead of carrying it out.
type refusal struct {
	status int // 0: no refusal
	code   string
	times  int // how often; 0: always
}

// A manner is how a call is treated on its way in or out. A call has one.
type manner uint8

const (
	properly manner = iota
	// Not carried out:
	hang    // no answer
	deaf    // the body is not even read
	reset   // the connection is closed instead
	crashAt // the process dies instead
	// Carried out, and then:
	mute        // no answer
	half        // half an answer, then silence
	trickle     // the answer, byte by byte
	garble      // 200 and something that is no JSON
	babble      // something that is no HTTP
	flood       // 200 and a body without end
	crashBehind // the answer, and then the process dies
)

// A timedAction happens by itself: so long after it was asked for or, if it is
// the guest's, after the guest began to run.
type timedAction struct {
	after  time.Duration
	action string
	guest  bool
}

var noFaults = &faultSet{}

// ParseFaults reads modes such as "ignore-stop" or "exit-after=5s". Each
// argument may hold several, separated by commas. Where two contradict each
// other, the later one counts.
func ParseFaults(modes ...string) (Faults, error) {
	set := &faultSet{}
	for _, m := range modes {
		for one := range strings.SplitSeq(m, ",") {
			one = strings.TrimSpace(one)
			if one == "" {
				continue
			}
			if err := set.add(one); err != nil {
				return Faults{}, err
			}
			set.modes = append(set.modes, one)
		}
	}
	return Faults{set}, nil
}

// Modes returns the modes as they were given, one an item.
func (f Faults) Modes() []string {
	return append([]string{}, f.get().modes...)
}

// IgnoresTerm tells whether SIGTERM is to be ignored. The process that the
// simulator runs in asks; the simulator itself handles no signal.
func (f Faults) IgnoresTerm() bool { return f.get().ignoreTerm }

func (f Faults) get() *faultSet {
	if f.set == nil {
		return noFaults
	}
	return f.set
}

// add finds the row of the table that a mode belongs to and applies it.
func (f *faultSet) add(text string) error {
	name, value, valued := strings.Cut(text, "=")
	for i := range modes {
		m := &modes[i]
		objects, ok := m.match(name)
		if !ok {
			continue
		}
		switch {
		case m.value == none && valued:
			return fmt.Errorf("mode %q takes no value", name)
		case m.value.required() && value == "":
			return fmt.Errorf("mode %q wants a value: %s%s", name, name, m.value)
		}
		if err := m.apply(f, objects, value); err != nil {
			return fmt.Errorf("mode %q: %w", text, err)
		}
		return nil
	}
	return fmt.Errorf("mode %q: there is no such mode (see propolis-sim modes)", name)
}

// calls applies a change to the faults of each of some calls.
func (f *faultSet) calls(names []string, change func(*callFaults)) {
	for c, name := range callNames {
		if slices.Contains(names, name) {
			change(&f.on[c])
		}
	}
}
