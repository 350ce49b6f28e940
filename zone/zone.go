package zone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"time"
)

// A State is what the host says of a zone. The names are those that
// zoneadm(8) prints, so that every backend and every reader uses one set.
type State int

const (
	// Absent: the host knows no zone of that name.
	Absent State = iota
	// Configured: it has a configuration and no files.
	Configured
	// Incomplete: an install or an uninstall ended half-way.
	Incomplete
	// Installed: it has its files and no processes.
	Installed
	// Ready: its environment is up, no process was started in it.
	Ready
	// Running: it has been booted.
	Running
	// ShuttingDown: a halt is waiting for its processes to end.
	ShuttingDown
	// Down: its processes have ended, the kernel still holds something of it.
	Down
	// Unknown: the host named a state that the backend has no word for.
	Unknown
)

var stateNames = [...]string{"absent", "configured", "incomplete", "installed", "ready",
	"running", "shutting_down", "down", "unknown"}

// States lists every state, for tables and tests.
func States() []State {
	return []State{Absent, Configured, Incomplete, Installed, Ready, Running, ShuttingDown, Down, Unknown}
}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// ParseState reads a state as zoneadm(8) prints it. Any other word is Unknown.
func ParseState(word string) State {
	for s, name := range stateNames {
		if name == word {
			return State(s)
		}
	}
	return Unknown
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name; a name nobody knows is Unknown.
func (s *State) UnmarshalText(text []byte) error {
	*s = ParseState(string(text))
	return nil
}

// Info is one look at one zone. It is a copy; nothing keeps it up to date.
type Info struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Incarnation tells one boot of a zone from the next of the same name: a
	// zone id with its unique id, or a process id with its start time. Empty
	// when the zone is not active.
	Incarnation string `json:"incarnation,omitempty"`
	// PID is the zone's first process as the host sees it; 0 when there is none.
	PID int `json:"pid,omitempty"`
	// Detail says in words what keeps the zone in its state, where the backend knows.
	Detail string `json:"detail,omitempty"`
}

// A Spec is what a zone is made from.
type Spec struct {
	// Name is the zone's name; see ValidName.
	Name string
	// Addr is where the Propolis server in the zone must serve.
	Addr netip.AddrPort
	// NICs are the guest's network interfaces, for which the backend provides
	// datalinks.
	NICs []NIC
	// Devices are further device paths that the zone may use, such as a zvol's.
	Devices []string
}

// A NIC is one guest network interface as far as the zone is concerned.
type NIC struct {
	// ID is Nexus's id of the interface and the key of its backend in the VM spec.
	ID string
	// MAC is the guest's hardware address.
	MAC string
	// MTU in bytes; 0 for the link's default.
	MTU int
}

// Made is what Create provided for a zone.
type Made struct {
	// Links maps a NIC's ID to the datalink that serves it.
	Links map[string]string
}

// An End says how a zone's server ended, as far as the host could tell.
type End struct {
	// How is for people: "exit status 1", "signal: killed", "zone is gone".
	How string
}

// A Manager makes, looks at and removes zones on one host. Its methods are safe
// for concurrent use, and one that is stuck on one zone delays no other zone.
// Each does one thing once: retries, budgets and order are the caller's. Each
// returns soon after ctx ends, except where a doc says that the operation
// cannot be interrupted; callers guard against the rest (see EnsureGone). Its
// errors say what was tried on which zone.
//
// The removal methods are idempotent: what is already so is success.
type Manager interface {
	// List looks at every zone whose name carries the agent's prefix.
	List(ctx context.Context) ([]Info, error)
	// Look looks at one zone. A zone nobody knows is Absent and no error.
	Look(ctx context.Context, name string) (Info, error)

	// Create takes a zone from Absent to Installed and provides its links. It
	// fails with ErrExists if there is anything of that name. When it fails or
	// ctx ends, what it has half-made stays until EnsureGone removes it.
	Create(ctx context.Context, spec Spec) (Made, error)
	// Boot starts an installed zone's server and returns when it was started,
	// not when it serves.
	Boot(ctx context.Context, name string) error
	// ServerFailed says why the host has given up the server of a zone that runs: it
	// does not serve, and will not be started again. Empty if that is not so.
	ServerFailed(ctx context.Context, name string) (why string, err error)

	// Kill sends SIGKILL to every process of the zone and does not wait for
	// their end. It is cheap and takes no lock that Create or Boot could hold.
	Kill(ctx context.Context, name string) error
	// Halt takes an active zone to Installed: no process of it is left.
	Halt(ctx context.Context, name string) error
	// DestroyVM frees a kernel VM that outlived its zone, where there are such.
	DestroyVM(ctx context.Context, name string) error
	// Uninstall removes the zone's files: from Installed or Incomplete to Configured.
	Uninstall(ctx context.Context, name string) error
	// Delete removes the configuration: from Configured to Absent.
	Delete(ctx context.Context, name string) error
	// Release frees what the zone had from the host beside itself: datalinks,
	// control groups, directories.
	Release(ctx context.Context, name string) error

	// Tail returns the end of the server's log, at most max bytes.
	Tail(ctx context.Context, name string, max int) ([]byte, error)
	// Watch calls ended once, from a goroutine of the Manager's, when the zone
	// that runs now does so no longer; at once if none of that name runs. stop
	// ends the watch; ended may still be under way when it returns.
	Watch(name string, ended func(End)) (stop func())
}

// Errors that callers branch on.
var (
	// ErrExists: there is already a zone of that name.
	ErrExists = errors.New("zone exists")
	// ErrNotInstalled: Boot found no installed zone.
	ErrNotInstalled = errors.New("zone is not installed")
)

// MaxName is the longest zone name that zoneadm(8) takes.
const MaxName = 63

var validName = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*$`)

// ValidName tells whether a zone may have this name, by the rules of zonecfg(8).
func ValidName(name string) error {
	switch {
	case len(name) > MaxName:
		return fmt.Errorf("zone name %q: %d characters, at most %d are allowed", name, len(name), MaxName)
	case !validName.MatchString(name):
		return fmt.Errorf("zone name %q: want a letter or digit, then letters, digits, '-', '_' and '.'", name)
	case name == "global" || len(name) >= 4 && name[:4] == "SUNW":
		return fmt.Errorf("zone name %q is reserved", name)
	}
	return nil
}

// A Rung is one step of a removal.
type Rung string

// The rungs in the order in which a removal that meets no obstacle takes them.
const (
	RungLook      Rung = "look"
	RungKill      Rung = "kill"
	RungHalt      Rung = "halt"
	RungDestroyVM Rung = "destroy-vm"
	RungUninstall Rung = "uninstall"
	RungDelete    Rung = "delete"
	RungRelease   Rung = "release"
	RungVerify    Rung = "verify"
)

// A Report tells of one rung that was tried.
type Report struct {
	Zone string
	Rung Rung
	// State is what the last look saw; Absent before the first.
	State State
	// Attempt counts the tries of this rung in this removal, from 1.
	Attempt int
	Begun   time.Time
	Took    time.Duration
	// Err is why the rung failed; nil if it did its work.
	Err error
}
