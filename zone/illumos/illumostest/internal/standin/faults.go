package standin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Values of Fault.Do.
const (
	// Slow waits for Delay.
	Slow = "slow"
	// Hang waits until the fault is released.
	Hang = "hang"
	// Fail ends the command with Text and Exit (1 if 0). At After, the command has
	// done its work.
	Fail = "fail"
	// Die kills the process with SIGKILL.
	Die = "die"
	// Garbage replaces the output of the command by Text, or by binary data.
	Garbage = "garbage"
	// Truncate removes the second half of the command's output.
	Truncate = "truncate"

	// Omit makes zoneadm list omit the zone and exit with 0, as it does with a zone
	// that it cannot read. It prints Text, if any, on standard error.
	Omit = "omit"
	// LinksAway makes dlmgmtd unavailable: dladm lists no links without an error, and
	// rejects every link's name.
	LinksAway = "dlmgmtd-away"

	// The others are abbreviations for one of the above.
	//
	// Stuck keeps the zone in State: shutting_down, down, or incomplete at
	// install and uninstall.
	Stuck = "stuck"
	// Maintenance puts the zone's server into maintenance instead of starting it.
	Maintenance = "maintenance"
	// VarFull simulates a full /var of the host: every hook of the zone's brand
	// fails, including halt.
	VarFull = "var-full"
	// BrandExit makes the brand's install hook exit with Exit.
	BrandExit = "brand-exit"
)

var named = map[string]Fault{
	Stuck:       {Do: Hang, When: During},
	Maintenance: {Do: Fail, Command: "svc.startd"},
	VarFull:     {Do: Fail, Command: "brand", Exit: 255, Text: "/var/log/omicron-brand.log: No space left on device"},
	BrandExit:   {Do: Fail, Command: "brand", Verb: "install"},
}

// Values of Fault.When.
const (
	Before = "before"
	During = "during"
	After  = "after"
)

// A Fault is an injected fault. Empty fields match anything.
type Fault struct {
	ID string `json:",omitempty"`
	// Do is one of the constants above.
	Do string
	// When is Before (the default), During or After the work. During means: in an
	// install or uninstall, while the zone is incomplete; in a list, between finding
	// the zones and reading them; in zonecfg, between the zone's file and the index;
	// in zoneadmd, while the zone is ready (boot), shutting_down or down (halt).
	When string `json:",omitempty"`
	// Command is zoneadm, dladm, ...; zoneadmd, which performs boot, ready and halt;
	// brand, with the hooks install, boot, halt and uninstall; or svc.startd, which
	// starts the server.
	Command string `json:",omitempty"`
	// Verb is the subcommand: halt, create-vnic, ...
	Verb string `json:",omitempty"`
	// Object is the zone, link, dataset or service.
	Object string `json:",omitempty"`
	// State is the zone's state in which it strikes, for During only.
	State string        `json:",omitempty"`
	Delay time.Duration `json:",omitempty"`
	Exit  int           `json:",omitempty"`
	Text  string        `json:",omitempty"`
	// Times limits how often it strikes; 0 is no limit.
	Times int `json:",omitempty"`
	// Struck counts how often it has struck.
	Struck int `json:",omitempty"`
}

// A point is a place in a command where a fault can strike.
type point struct{ when, command, verb, object, state string }

func (f *Fault) strikes(p point) bool {
	matches := func(want, is string) bool { return want == "" || want == is }
	return (f.Times == 0 || f.Struck < f.Times) && f.When == p.when && matches(f.Command, p.command) &&
		matches(f.Verb, p.verb) && matches(f.Object, p.object) && matches(f.State, p.state)
}

// Faults returns the faults that were injected and not released.
func (s *Store) Faults() (faults []Fault) {
	readJSON(s.path("faults.json"), &faults)
	return faults
}

// Inject adds a fault and returns its id.
func (s *Store) Inject(f Fault) string {
	if n, ok := named[f.Do]; ok {
		f.Do, f.Command, f.Verb, f.When = n.Do, cmp.Or(f.Command, n.Command), cmp.Or(f.Verb, n.Verb), cmp.Or(f.When, n.When)
		f.Exit, f.Text = cmp.Or(f.Exit, n.Exit), cmp.Or(f.Text, n.Text)
	}
	f.When = cmp.Or(f.When, Before)
	s.Locked(func() {
		f.ID = strconv.Itoa(s.next("fault"))
		writeJSON(s.path("faults.json"), append(s.Faults(), f))
	})
	return f.ID
}

// Release removes a fault, or all faults if id is empty.
func (s *Store) Release(id string) {
	s.Locked(func() {
		left := slices.DeleteFunc(s.Faults(), func(f Fault) bool { return id == "" || f.ID == id })
		writeJSON(s.path("faults.json"), left)
	})
}

// take returns a fault of this kind that strikes at the point, and counts it.
func (s *Store) take(do string, p point) (taken *Fault) {
	is := func(f Fault) bool { return f.Do == do && f.strikes(p) }
	if !slices.ContainsFunc(s.Faults(), is) {
		return nil
	}
	s.Locked(func() {
		faults := s.Faults()
		if i := slices.IndexFunc(faults, is); i >= 0 {
			faults[i].Struck++
			taken = &faults[i]
			writeJSON(s.path("faults.json"), faults)
		}
	})
	return taken
}

// apply applies the faults at a point: it delays, hangs or kills the process. It
// returns the fault that makes the command fail, if any.
func (s *Store) apply(p point) *Fault {
	if f := s.take(Slow, p); f != nil {
		time.Sleep(f.Delay)
	}
	if f := s.take(Hang, p); f != nil {
		s.until(func() bool {
			return !slices.ContainsFunc(s.Faults(), func(other Fault) bool { return other.ID == f.ID })
		})
	}
	if f := s.take(Die, p); f != nil {
		check(syscall.Kill(syscall.Getpid(), syscall.SIGKILL))
		select {}
	}
	f := s.take(Fail, p)
	if f != nil {
		f.Exit = max(f.Exit, 1)
	}
	return f
}

// faultCommand lists, injects or releases faults.
func (h *host) faultCommand(args []string) int {
	switch {
	case len(args) == 0:
		for _, f := range h.Faults() {
			fmt.Println(string(must(json.Marshal(f))))
		}
	case args[0] == "release":
		h.Release(append(args, "")[1])
	default:
		var f Fault
		if err := json.Unmarshal([]byte(args[0]), &f); err != nil {
			fmt.Fprintf(os.Stderr, "illumos-standin: fault %s: %v\n", args[0], err)
			return 2
		}
		fmt.Println(h.Inject(f))
	}
	return 0
}
