package proc

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrGone: no process of that ID is left, or only its zombie is.
	ErrGone = errors.New("process is gone")
	// ErrUnsupported: this system lacks what the package is made of.
	ErrUnsupported = errors.New("not supported on this system")
)

// An ID is one process of this boot of the host.
type ID struct {
	PID int `json:"pid"`
	// Start is when it started, in the kernel's own unit: clock ticks since
	// boot on Linux, microseconds since the epoch on macOS.
	Start uint64 `json:"start"`
}

func (id ID) String() string { return fmt.Sprintf("%d-%d", id.PID, id.Start) }

// Info is one look at one process.
type Info struct {
	ID
	PPID    int
	Session int
	// Comm is the process's short name.
	Comm string
	// State is the kernel's letter for what it is doing, such as 'R', 'D' or 'Z'.
	State byte
}

// Ended tells whether the process has ended and only waits to be reaped.
func (i Info) Ended() bool { return i.State == 'Z' || i.State == 'X' || i.State == 'x' }

// String names the process for people who look for what keeps a zone.
func (i Info) String() string {
	return fmt.Sprintf("pid %d (%s) in state %c", i.PID, i.Comm, i.State)
}

// Alive tells whether the process of that ID runs.
func Alive(id ID) bool {
	info, err := Stat(id.PID)
	return err == nil && info.Start == id.Start && !info.Ended()
}

// How says in words how a process ended.
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

// An End is what a Poller learnt of a process that ended.
type End struct {
	// Child tells whether it was this process's own, so that Status is known.
	Child  bool
	Status syscall.WaitStatus
}
