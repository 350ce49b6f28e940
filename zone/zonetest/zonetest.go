// Package zonetest is an in-memory zone.Manager for tests. It has the real states,
// refuses the transitions that a host would refuse, and injects faults on demand.
// It runs no processes; Hooks decide what a zone's server does. It works inside
// testing/synctest bubbles.
package zonetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/sledagent/sledagent/zone"
)

// An Op names a method of zone.Manager, for faults.
type Op string

// The operations that faults can be set on.
const (
	List         Op = "list"
	Look         Op = "look"
	Create       Op = "create"
	Boot         Op = "boot"
	Kill         Op = "kill"
	Halt         Op = "halt"
	DestroyVM    Op = "destroy-vm"
	Uninstall    Op = "uninstall"
	Delete       Op = "delete"
	Release      Op = "release"
	Tail         Op = "tail"
	ServerFailed Op = "server-failed"
)

// ErrFault is what a failing operation returns.
var ErrFault = errors.New("injected fault")

// A Fault is a fault of one operation on one zone. Its parts combine: first the
// delay, then the failure, then the effect.
type Fault struct {
	// Times is how often the fault occurs; 0 means always.
	Times int
	// Delay is how long the operation takes; the end of its context cuts it short.
	Delay time.Duration
	// Hang blocks the operation until its context ends, or with Deaf until Unhang.
	Hang bool
	// Deaf makes a hang ignore its context, like a system call that cannot be
	// interrupted.
	Deaf bool
	// Fail makes the operation return ErrFault and change nothing. The error wraps
	// As as well, if it is set. With zone.ErrPartial List returns its list, too.
	Fail bool
	As   error
	// Stuck leaves a halted zone in this state and reports success.
	Stuck zone.State
}

// States lists every state of a zone.
func States() []zone.State {
	return []zone.State{zone.Unknown, zone.Absent, zone.Configured, zone.Incomplete, zone.Installed, zone.Ready,
		zone.Running, zone.ShuttingDown, zone.Down}
}

// Hooks let a test run something real in a zone.
type Hooks struct {
	// Booted is called after a zone was booted, without a lock held. stop is called
	// when the zone's processes are killed.
	Booted func(name string, addr netip.AddrPort) (stop func())
}

// Host is a zone.Manager whose zones are entries of a map.
type Host struct {
	hooks Hooks

	mu     sync.Mutex
	zones  map[string]*entry
	faults map[string]map[Op]*Fault
	calls  []string
	recall map[string]zone.Made
	// unlisted are zones that List leaves out.
	unlisted map[string]bool
	unhang   chan struct{}
	boots    int
}

type entry struct {
	info    zone.Info
	spec    zone.Spec
	stop    func()
	failed  string
	watches map[*watch]struct{}
}

// kill ends the zone's server, if it has one. Host.mu is held.
func (e *entry) kill() {
	if e != nil && e.stop != nil {
		go e.stop()
		e.stop = nil
	}
}

type watch struct{ ended func(zone.End) }

var _ zone.Manager = (*Host)(nil)

// New returns a host without zones.
func New(hooks Hooks) *Host {
	return &Host{hooks: hooks, zones: map[string]*entry{}, faults: map[string]map[Op]*Fault{},
		recall: map[string]zone.Made{}, unlisted: map[string]bool{}, unhang: make(chan struct{})}
}

// Recalled returns the last arguments of Recall for a zone.
func (h *Host) Recalled(name string) (zone.Made, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	made, ok := h.recall[name]
	return made, ok
}

// SetFault sets a fault of op for the zone of this name, or for every zone if name
// is empty. A zero Fault removes it.
func (h *Host) SetFault(name string, op Op, f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faults[name] == nil {
		h.faults[name] = map[Op]*Fault{}
	}
	h.faults[name][op] = &f
}

// Unhang releases every operation that hangs, including deaf ones.
func (h *Host) Unhang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.unhang)
	h.unhang = make(chan struct{})
}

// Put sets a zone's state, as if another program had made or changed it.
func (h *Host) Put(name string, s zone.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s == zone.Absent {
		h.end(h.zones[name], "zone is gone")
		delete(h.zones, name)
		return
	}
	e := h.zones[name]
	if e == nil {
		e = &entry{info: zone.Info{Name: name}, watches: map[*watch]struct{}{}}
		h.zones[name] = e
	}
	if e.info.State == zone.Running && s != zone.Running {
		h.end(e, "zone is "+s.String())
	}
	e.info.State = s
}

// Unlist makes List leave a zone out, as if it could not be read.
func (h *Host) Unlist(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unlisted[name] = true
}

// Die ends a zone's server, as if it had crashed.
func (h *Host) Die(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil && e.info.State == zone.Running {
		h.end(e, "exit status 1")
		e.info.State = zone.Installed
	}
}

// FailServer ends the server of a running zone and leaves the zone running.
func (h *Host) FailServer(name, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil && e.info.State == zone.Running {
		e.failed = why
		e.kill()
	}
}

// Calls returns every operation begun so far, each as "op zone".
func (h *Host) Calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// end notifies each watch of a zone that it has stopped running. h.mu is held.
func (h *Host) end(e *entry, how string) {
	if e == nil {
		return
	}
	e.kill()
	for w := range e.watches {
		go w.ended(zone.End{How: how})
	}
	e.watches = map[*watch]struct{}{}
	e.info.Incarnation, e.info.PID = "", 0
}

// begin records a call and applies its fault.
func (h *Host) begin(ctx context.Context, op Op, name string) (Fault, error) {
	h.mu.Lock()
	h.calls = append(h.calls, string(op)+" "+name)
	f := h.take(op, name)
	unhang := h.unhang
	h.mu.Unlock()
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
	if f.Hang {
		done := ctx.Done()
		if f.Deaf {
			done = nil
		}
		select {
		case <-unhang:
		case <-done:
			return f, ctx.Err()
		}
	}
	if f.Fail {
		return f, fmt.Errorf("%s zone %s: %w", op, name, errors.Join(f.As, ErrFault))
	}
	return f, nil
}

// take returns the fault of an operation and uses up one occurrence of it.
func (h *Host) take(op Op, name string) Fault {
	for _, n := range []string{name, ""} {
		f := h.faults[n][op]
		if f == nil {
			continue
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				delete(h.faults[n], op)
			}
		}
		return *f
	}
	return Fault{}
}
