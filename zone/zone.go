package zone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A State is a zone's state as reported by the host. The names are those that
// zoneadm(8) prints, in every backend.
type State int

const (
	// Unknown: the state could not be determined, or the backend does not know the
	// host's name for it. It proves nothing.
	Unknown State = iota
	// Absent: the host has no zone of that name.
	Absent
	// Configured: it has a configuration and no files.
	Configured
	// Incomplete: an install or an uninstall ended half-way.
	Incomplete
	// Installed: it has its files and no processes.
	Installed
	// Ready: its environment is set up, but no process was started in it.
	Ready
	// Running: it has been booted.
	Running
	// ShuttingDown: a halt is waiting for its processes to end.
	ShuttingDown
	// Down: its processes have ended, but the kernel still holds resources of it.
	Down
)

var stateNames = [...]string{"unknown", "absent", "configured", "incomplete", "installed", "ready",
	"running", "shutting_down", "down"}

func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return fmt.Sprintf("State(%d)", int(s))
	}
	return stateNames[s]
}

// ParseState reads a state as zoneadm(8) prints it. Any other text is Unknown.
func ParseState(text string) State {
	for s, name := range stateNames {
		if name == text {
			return State(s)
		}
	}
	return Unknown
}

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name; an unknown name is Unknown.
func (s *State) UnmarshalText(text []byte) error {
	*s = ParseState(string(text))
	return nil
}

// Info is the result of one look at one zone. It is a copy and is not updated.
type Info struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	// Incarnation distinguishes one boot of a zone from the next of the same name: a
	// zone id with its unique id, or a process id with its start time. Empty
	// when the zone is not active.
	Incarnation string `json:"incarnation,omitempty"`
	// PID is the pid of the zone's first process on the host; 0 if there is none.
	PID int `json:"pid,omitempty"`
	// Detail explains the state in text, where the backend knows more.
	Detail string `json:"detail,omitempty"`
}

// A Spec describes a zone to be created.
type Spec struct {
	// Name is the zone's name; see ValidName.
	Name string
	// Addr is the address that the Propolis server in the zone must listen on.
	Addr netip.AddrPort
	// NICs are the guest's network interfaces. The backend provides their datalinks.
	NICs []NIC
	// Devices are paths of further devices that the zone may use, such as zvols.
	Devices []string
}

// A NIC is one network interface of the guest.
type NIC struct {
	// ID is the interface's id in Nexus and the key of its backend in the VM spec.
	ID string
	// MAC is the guest's hardware address.
	MAC string
	// MTU in bytes; 0 for the link's default.
	MTU int
}

// Made is what Create provided for a zone. It is recorded, since a later change of
// the agent's configuration does not move existing zones.
type Made struct {
	// Links maps a NIC's ID to its datalink.
	Links map[string]string
	// Datalinks are all datalinks made for the zone, including its server's.
	Datalinks []string
	// Path is the zone's directory.
	Path string
}

// An End describes how a zone's server ended, as far as the host knows.
type End struct {
	// How is text for people: "exit status 1", "signal: killed", "zone is gone".
	How string
}

// A Manager creates, looks at and removes the zones of one host. Its methods are
// safe for concurrent use. A call that is stuck on one zone delays no other zone.
// Each method does one thing once: retries, budgets and order are up to the caller.
// Each returns soon after ctx ends, unless its documentation says that it cannot be
// interrupted. Callers must not rely on that (see EnsureGone). Errors name the
// operation and the zone.
type Manager interface {
	// Recall gives the Manager the record of what an earlier process made for a
	// zone. The name may have another prefix than is configured now, the path and
	// the links may differ from those that would be chosen now. It does no I/O. The
	// zone belongs to the agent like any other until Release.
	Recall(name string, made Made)

	// List looks at every zone whose name has the agent's prefix, and at recalled
	// zones. The result is a hint: a zone that is missing from it, or is Unknown in
	// it, must be looked at before anything is concluded. With ErrPartial the
	// returned list holds what is known.
	List(ctx context.Context) ([]Info, error)
	// Look looks at one zone. Without an error its answer is proof: a zone is
	// Absent, or has no processes, only if the host's answer was complete. Any
	// uncertainty is an error.
	Look(ctx context.Context, name string) (Info, error)

	// Create takes a zone from Absent to Installed and provides its links. It
	// fails with ErrExists if anything of that name exists. When it fails or ctx
	// ends, a half-made zone stays until EnsureGone removes it.
	Create(ctx context.Context, spec Spec) (Made, error)
	// Boot starts an installed zone's server. It returns when the server was
	// started, which is before it serves.
	Boot(ctx context.Context, name string) error
	// ServerFailed returns why a running zone has no server: the host has stopped
	// restarting it, or it has no live process. why is empty if it has a server. An
	// error means that it is unknown.
	ServerFailed(ctx context.Context, name string) (why string, err error)

	// Remove takes one rung of a removal, other than a look. It succeeds if there
	// is nothing to do.
	Remove(ctx context.Context, rung Rung, name string) error

	// Tail returns the end of the server's log, at most max bytes.
	Tail(ctx context.Context, name string, max int) ([]byte, error)
}

// A Watcher is a Manager that notices a zone's end before List shows it.
type Watcher interface {
	// Watch calls ended once, on a goroutine of the Manager, when the zone seems
	// to have stopped running, or at once if no zone of that name runs. Like List it
	// is a hint. stop ends the watch; ended may still be running when it returns.
	Watch(name string, ended func(End)) (stop func())
}

// Watch watches a zone if the Manager is a Watcher. Otherwise ended is never called,
// and only List shows an end.
func Watch(m Manager, name string, ended func(End)) (stop func()) {
	if w, ok := m.(Watcher); ok {
		return w.Watch(name, ended)
	}
	return func() {}
}

// A Holder is a Manager that holds running zones by handles that are open already.
type Holder interface {
	// Hold returns the handle of the zone's present boot; nil if it has none. It does
	// no I/O.
	Hold(name string) Handle
}

// A Handle is one boot of a zone, and never another of the same name. It stays usable
// after the boot has ended, and is safe for concurrent use.
type Handle interface {
	// Kill sends SIGKILL to every process of the zone. It is one system call, waits for
	// nothing, and takes no lock. It reports false if it was not sent, also because the
	// boot has ended: there may be another one of the zone, and RungKill has further means.
	Kill() (sent bool)
	// Ended is closed when all processes of the boot have ended.
	Ended() <-chan struct{}
}

// Hold returns the handle of the zone's present boot if the Manager is a Holder and has
// one, else nil.
func Hold(m Manager, name string) Handle {
	if h, ok := m.(Holder); ok {
		return h.Hold(name)
	}
	return nil
}

// Errors that callers branch on.
var (
	// ErrExists: a zone of that name exists.
	ErrExists = errors.New("zone exists")
	// ErrNotInstalled: Boot found no installed zone.
	ErrNotInstalled = errors.New("zone is not installed")
	// ErrUnsure: Create or Boot did not learn whether the zone exists. A later attempt may.
	ErrUnsure = errors.New("host does not say what the zone is")
	// ErrPartial: zones may be missing from a list, or it may be out of date.
	ErrPartial = errors.New("list of zones may be incomplete")
)

// MaxName is the longest zone name that zoneadm(8) accepts, in bytes.
const MaxName = 63

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// ValidName returns an error unless the rules of zonecfg(8) allow the name.
func ValidName(name string) error {
	switch {
	case len(name) > MaxName:
		return fmt.Errorf("zone name %q: %d characters, at most %d are allowed", name, len(name), MaxName)
	case strings.Trim(name, alphanumeric+"-_.") != "" || !strings.ContainsAny(name[:min(1, len(name))], alphanumeric):
		return fmt.Errorf("zone name %q: want a letter or digit, then alphanumeric, digits, '-', '_' and '.'", name)
	case name == "global" || len(name) >= 4 && name[:4] == "SUNW":
		return fmt.Errorf("zone name %q is reserved", name)
	}
	return nil
}

// A Rung is one step of a removal.
type Rung string

// The rungs, in the order of a removal without failures.
const (
	RungLook Rung = "look"
	// RungKill sends SIGKILL to every process of the zone without waiting for them
	// to end. It is cheap and takes no lock that Create or Boot could hold.
	RungKill Rung = "kill"
	// RungHalt takes an active zone to Installed: it has no processes left.
	RungHalt Rung = "halt"
	// RungDestroyVM frees a kernel VM that outlived its zone, on hosts that have them.
	RungDestroyVM Rung = "destroy-vm"
	// RungUninstall removes the zone's files: from Installed or Incomplete to Configured.
	RungUninstall Rung = "uninstall"
	// RungDelete removes the configuration: from Configured to Absent.
	RungDelete Rung = "delete"
	// RungRelease frees the zone's other resources on the host: datalinks, control
	// groups, directories.
	RungRelease Rung = "release"
	RungVerify  Rung = "verify"
)

// Valid reports whether r is one of the rungs.
func (r Rung) Valid() bool {
	return slices.Contains([]Rung{RungLook, RungKill, RungHalt, RungDestroyVM, RungUninstall, RungDelete, RungRelease, RungVerify}, r)
}

// A Report is the outcome of one rung that was tried.
type Report struct {
	Rung Rung
	// State is the state seen by the last look; Unknown before the first.
	State State
	// Attempt counts the tries of this rung in this removal, from 1.
	Attempt int
	Begun   time.Time
	Took    time.Duration
	// Err is why the rung failed; nil if it succeeded.
	Err error
}
