package standin

import (
	"slices"
	"strconv"
	"syscall"
	"time"
)

// What a fault does. The first five can be done to any command, at any When.
const (
	// Slow waits for Delay.
	Slow = "slow"
	// Hang waits until the fault is released.
	Hang = "hang"
	// Fail ends the command with Text and Exit (1 if 0). At After, what was
	// asked for has been done all the same.
	Fail = "fail"
	// Die kills the process with SIGKILL.
	Die = "die"
	// Garbage replaces what the command prints by Text, or by nonsense.
	Garbage = "garbage"
	// Truncate leaves the first half of what the command prints.
	Truncate = "truncate"

	// ExtraFields makes zoneadm list add fields to each line.
	ExtraFields = "extra-fields"
	// UnknownState makes zoneadm list print Text as the zone's state.
	UnknownState = "unknown-state"
	// LockHeld: somebody else holds the zone's zoneadm lock.
	LockHeld = "lock-held"
	// BrandExit makes the brand's install hook exit with Exit.
	BrandExit = "brand-exit"
	// BusyMounts: filesystems are mounted below the zonepath at uninstall.
	BusyMounts = "busy-mounts"
	// Stuck keeps the zone in State: shutting_down, down, or incomplete at
	// install and uninstall.
	Stuck = "stuck"
	// Unkillable: signals have no effect on the zone's processes.
	Unkillable = "unkillable"
	// LinkBusy makes deleting the link fail. The object is the link.
	LinkBusy = "link-busy"
	// Maintenance puts the zone's server into maintenance instead of starting it.
	Maintenance = "maintenance"
	// Offline keeps the zone's server offline.
	Offline = "offline"
	// Silent: the zone's repository does not answer.
	Silent = "silent"
)

// When a fault strikes.
const (
	Before = "before"
	During = "during"
	After  = "after"
)

// A Fault is something that goes wrong. Empty fields match anything.
type Fault struct {
	ID string `json:",omitempty"`
	// Do is one of the constants above.
	Do string
	// When it strikes: Before (the default), During or After the work. During
	// is in the middle: of an install or uninstall while the zone is
	// incomplete; of a list between finding the zones and reading them; of what
	// zoneadmd does while the zone is ready (boot), shutting_down or down (halt).
	When string `json:",omitempty"`
	// Command is whom it strikes: zoneadm, dladm, ..., or zoneadmd, which does
	// boot, ready, halt and shutdown.
	Command string `json:",omitempty"`
	// Verb is the subcommand: halt, create-vnic, ...
	Verb string `json:",omitempty"`
	// Object is the zone, link, dataset or service.
	Object string `json:",omitempty"`
	// State is the zone's state in which it strikes, During alone; for Stuck
	// the state that is not left.
	State string        `json:",omitempty"`
	Delay time.Duration `json:",omitempty"`
	Exit  int           `json:",omitempty"`
	Text  string        `json:",omitempty"`
	// Times is how often it strikes; 0 is until it is released.
	Times int `json:",omitempty"`
	// Struck counts how often it has struck.
	Struck int `json:",omitempty"`
}

// An occasion is what could go wrong now.
type occasion struct{ when, command, verb, object, state string }

func (f *Fault) strikes(o occasion) bool {
	matches := func(want, is string) bool { return want == "" || want == is }
	when := f.When
	if when == "" {
		when = Before
	}
	return !f.spent() && matches(f.Command, o.command) && matches(f.Verb, o.verb) && matches(f.Object, o.object) &&
		when == o.when && matches(f.State, o.state)
}

func (f *Fault) spent() bool { return f.Times > 0 && f.Struck >= f.Times }

// Faults returns the faults that were put in and not released.
func (s *Store) Faults() (faults []Fault) {
	readJSON(s.path("faults.json"), &faults)
	return faults
}

// Inject puts in a fault and returns its id.
func (s *Store) Inject(f Fault) string {
	s.Locked(func() {
		s.count(func(m *meta) { m.NextFault++; f.ID = strconv.Itoa(m.NextFault) })
		writeJSON(s.path("faults.json"), append(s.Faults(), f))
	})
	return f.ID
}

// Release takes a fault away; all of them for "".
func (s *Store) Release(id string) {
	s.Locked(func() {
		left := slices.DeleteFunc(s.Faults(), func(f Fault) bool { return id == "" || f.ID == id })
		writeJSON(s.path("faults.json"), left)
	})
}

// take counts a strike of the first fault that this is true of.
func (s *Store) take(is func(*Fault) bool) *Fault {
	if faults := s.Faults(); !slices.ContainsFunc(faults, func(f Fault) bool { return is(&f) }) {
		return nil
	}
	var taken *Fault
	s.Locked(func() {
		faults := s.Faults()
		if i := slices.IndexFunc(faults, func(f Fault) bool { return is(&f) }); i >= 0 {
			faults[i].Struck++
			taken = &faults[i]
			writeJSON(s.path("faults.json"), faults)
		}
	})
	return taken
}

// suffers returns the fault of this kind that the object has now, counting it.
func (s *Store) suffers(do, object string) *Fault {
	return s.take(func(f *Fault) bool {
		return f.Do == do && !f.spent() && (f.Object == "" || f.Object == object)
	})
}

// hold does not return while a fault of this kind is there that this is true of.
func (s *Store) hold(do string, is func(*Fault) bool) {
	if f := s.take(func(f *Fault) bool { return f.Do == do && !f.spent() && is(f) }); f != nil {
		s.untilReleased(f.ID)
	}
}

func (s *Store) untilReleased(id string) {
	s.until(func() bool {
		return !slices.ContainsFunc(s.Faults(), func(f Fault) bool { return f.ID == id })
	})
}

// until returns when done is true. It ends the process when the host is taken down.
func (s *Store) until(done func() bool) {
	for !done() {
		if s.closing() {
			syscall.Exit(exitTrouble)
		}
		time.Sleep(3 * time.Millisecond)
	}
}

// strike lets everything go wrong that this is the occasion for, and returns
// the failure that results, if one does.
func (s *Store) strike(o occasion) *Fault {
	for _, do := range []string{Slow, Hang, Die, Fail} {
		f := s.take(func(f *Fault) bool { return f.Do == do && f.strikes(o) })
		if f == nil {
			continue
		}
		switch do {
		case Slow:
			time.Sleep(f.Delay)
		case Hang:
			s.untilReleased(f.ID)
		case Die:
			check(syscall.Kill(syscall.Getpid(), syscall.SIGKILL))
			select {}
		case Fail:
			f.Exit = max(f.Exit, 1)
			return f
		}
	}
	return nil
}
