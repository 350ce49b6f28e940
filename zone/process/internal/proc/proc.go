package proc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/internal/flight"
	"github.com/sledagent/sledagent/internal/plain"
)

var (
	// ErrGone: no process has that ID, or only a zombie. It is the only error that
	// proves an end; any other means that the answer is unknown.
	ErrGone = errors.New("process is gone")
	// ErrHidden: the host does not let this user look into the process.
	ErrHidden = errors.New("process may not be looked into")
	// ErrUnsupported: the package is not implemented for this system.
	ErrUnsupported = errors.New("not supported on this system")

	// ErrStarting: the process has no arguments or environment now, since it is
	// starting a program or ending.
	ErrStarting = errors.New("process is starting a program or ending")
)

// An ID identifies one process within one boot of the host.
type ID struct {
	PID int `json:"pid"`
	// Start is when it started, in the kernel's own unit: clock ticks since
	// boot on Linux, microseconds since the epoch on macOS.
	Start uint64 `json:"start"`
}

func (id ID) String() string { return fmt.Sprintf("%d-%d", id.PID, id.Start) }

// Info is the result of one look at one process.
type Info struct {
	ID
	PPID    int
	Session int
	// Comm is the process's short name.
	Comm string
	// State is the kernel's letter for what its first thread is doing, such as
	// 'R', 'D' or 'Z'.
	State byte
	// Threads is the number of its threads, where the system provides it. The first
	// one may end long before the last.
	Threads int
	// Exiting reports whether its first thread is ending or has ended.
	Exiting bool
	// Kernel reports whether it is a kernel thread.
	Kernel bool
	// CPU is the processor time used by it and by its children that have ended and
	// were waited for. Resident is its memory in bytes. Both are set on Linux only.
	CPU      time.Duration
	Resident uint64
}

// Ended reports whether the process has ended and is waiting to be reaped.
func (i Info) Ended() bool {
	return (i.State == 'Z' || i.State == 'X' || i.State == 'x') && i.Threads <= 1
}

// String describes the process for error messages.
func (i Info) String() string {
	return fmt.Sprintf("pid %d (%s) in state %c", i.PID, plain.Line(i.Comm, 64), i.State)
}

// scans lets concurrent callers share a scan. Otherwise, when many zones are killed at
// the same moment, each kill would read all processes by itself.
var scans = flight.Group[[]Info]{Do: list}

// All looks at every process that is visible to this one. The look begins after the
// call. Processes that end meanwhile may be missing. Callers share the result and must
// not change it.
func All() ([]Info, error) { return scans.Get(context.Background()) }

// Alive reports whether the process with that ID is alive. An error means that this
// is unknown.
func Alive(id ID) (bool, error) {
	info, err := Stat(id.PID)
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return info.Start == id.Start && !info.Ended(), nil
}

// lookup returns the value of a variable in an environment.
func lookup(env []string, key string) string {
	for _, v := range env {
		if value, ok := strings.CutPrefix(v, key+"="); ok {
			return value
		}
	}
	return ""
}

// How describes how a process ended.
func How(ws syscall.WaitStatus) string {
	switch {
	case ws.Signaled() && ws.CoreDump():
		return fmt.Sprintf("signal: %v (core dumped)", ws.Signal())
	case ws.Signaled():
		return fmt.Sprintf("signal: %v", ws.Signal())
	default:
		return fmt.Sprintf("exit status %d", ws.ExitStatus())
	}
}

// An End describes the end of a process that a Poller watched.
type End struct {
	// Child reports whether it was a child of this process. Status is set only then.
	Child  bool
	Status syscall.WaitStatus
}
