package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
)

// Faults are the faults of a simulator. The zero value has none. A value is immutable and
// may be shared; see ParseFaults.
type Faults struct {
	modes         []string
	on            [server.NumCalls]callFaults
	stay, crashIn []server.State
	failCreate    bool
	failStart     bool
	failMigration server.Phase
	defects       server.Defects
	// What a guest does when its power button is pressed; at once if nothing else.
	obeyAfter        time.Duration
	ignoreButton     bool
	bothMigrations   bool
	unknownMigration uuid.UUID // a wrong id; the zero id means none
	ignoreTerm       bool
	escape           time.Duration // lifetime of the escaped process; 0 for none
	timed            []timedAction
}

// callFaults are the faults of one call.
type callFaults struct {
	manner string        // how it is treated, such as "hang" of hang-CALL; empty for normal treatment
	every  time.Duration // interval between two bytes of a trickle
	slow   time.Duration
	ignore bool
	refuse refused
}

// refused is the error that a call gets instead of being carried out.
type refused struct {
	status int // 0 for none
	code   string
	times  int // how often; 0 for always
}

// A timedAction happens a certain time after it was requested or, if it is the guest's,
// after the guest has started to run.
type timedAction struct {
	after  time.Duration
	action string
	guest  bool
}

// ParseFaults parses modes such as "ignore-stop" or "exit-after=5s". An argument may hold
// several, separated by commas. Later modes override earlier ones.
func ParseFaults(modes ...string) (f Faults, err error) {
	for one := range strings.SplitSeq(strings.Join(modes, ","), ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		if err := f.add(one); err != nil {
			return Faults{}, err
		}
		f.modes = append(f.modes, one)
	}
	return f, nil
}

// Modes returns the modes as they were given, one per item.
func (f Faults) Modes() []string { return append([]string{}, f.modes...) }

// IgnoresTerm reports whether the process should ignore SIGTERM. The simulator itself
// handles no signals.
func (f Faults) IgnoresTerm() bool { return f.ignoreTerm }

// add applies a mode according to its row in the table.
func (f *Faults) add(text string) error {
	name, value, valued := strings.Cut(text, "=")
	for _, m := range Modes() {
		objects, ok := m.match(name)
		if !ok {
			continue
		}
		switch {
		case m.Value == none && valued:
			return fmt.Errorf("mode %q takes no value", name)
		case strings.HasPrefix(m.Value, "=") && value == "":
			return fmt.Errorf("mode %q needs a value: %s%s", name, name, m.Value)
		}
		v, err := m.parse(value)
		if err != nil {
			return fmt.Errorf("mode %q: %w", text, err)
		}
		m.apply(f, objects, v)
		return nil
	}
	return fmt.Errorf("mode %q: no such mode (see propolis-sim modes)", name)
}

// match reports whether name denotes this mode, and returns the objects at the end of the
// name, if it has them.
func (m *Mode) match(name string) (objects []string, ok bool) {
	if m.Of == nil {
		return nil, name == m.Name
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(m.Name, "CALL"), "STATE")
	object, ok := strings.CutPrefix(name, stem)
	switch {
	case !ok || !slices.Contains(m.Of, object):
		return nil, false
	case object == all:
		return m.Of, true
	}
	return []string{object}, true
}

// A value is a parsed value of a mode.
type value struct {
	duration time.Duration
	refuse   refused
	phase    server.Phase
	id       uuid.UUID
}

func (m *Mode) parse(text string) (v value, err error) {
	switch {
	case m.Value == status:
		v.refuse, err = parseRefusal(text)
	case m.Value == phase && text == "":
		v.phase = server.RAMPush
	case m.Value == phase:
		v.phase = server.Phase(text)
		if v.phase == server.Finish || !slices.Contains(targetPhases, v.phase) {
			err = fmt.Errorf("phase %q is not one that a migration can fail in", text)
		}
	case m.Value == identity && text == "":
		v.id = uuid.New()
	case m.Value == identity:
		v.id, err = uuid.Parse(text)
	case text == "":
		v.duration = m.unless
	default:
		if v.duration, err = time.ParseDuration(text); err != nil {
			err = fmt.Errorf("%q is not a duration such as 5s", text)
		} else if v.duration < 0 {
			err = fmt.Errorf("duration %s is negative", text)
		}
	}
	return v, err
}

// parseRefusal parses STATUS[:CODE][*TIMES].
func parseRefusal(text string) (r refused, err error) {
	head, times, limited := strings.Cut(text, "*")
	if limited {
		n, err := strconv.ParseUint(times, 10, 31)
		if err != nil || n == 0 {
			return r, fmt.Errorf("%q is not a number of times", times)
		}
		r.times = int(n)
	}
	status, code, _ := strings.Cut(head, ":")
	if r.status, err = strconv.Atoi(status); err != nil || r.status < 400 || r.status > 599 {
		return r, fmt.Errorf("%q is not an error status (400 to 599)", head)
	}
	r.code = code
	return r, nil
}
