// Package zonetest is an in-memory zone.Manager for tests: real states and
// transitions, refused where a host would refuse them, and faults on demand.
// It runs nothing; a test decides what a zone's server does through Hooks.
// It works inside testing/synctest bubbles.
package zonetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/sledagent/sledagent/zone"
)

// An Op names a method of zone.Manager, for faults.
type Op string

// The operations that faults can be set on.
const (
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

// A Fault is what goes wrong with one operation of one zone. Its parts combine:
// first the delay, then the failure, then the effect.
type Fault struct {
	// Times is how often the fault occurs; 0 means always.
	Times int
	// Delay is how long the operation takes; it ends early with its context.
	Delay time.Duration
	// Hang keeps the operation until its context ends; with Deaf even longer,
	// until Unhang.
	Hang bool
	// Deaf makes a hang ignore its context, like a process in the kernel.
	Deaf bool
	// Fail makes the operation return ErrFault and change nothing.
	Fail bool
	// Stuck leaves a halted zone in this state and reports success.
	Stuck zone.State
}

// Hooks let a test run something real in a zone.
type Hooks struct {
	// Booted is called when a zone was booted, without a lock held. stop is
	// called when the zone's processes are killed.
	Booted func(name string, addr netip.AddrPort) (stop func())
}

// Host is a zone.Manager whose zones are entries of a map.
type Host struct {
	hooks Hooks

	mu     sync.Mutex
	zones  map[string]*entry
	faults map[string]map[Op]*Fault
	calls  []string
	unhang chan struct{}
	boots  int
}

type entry struct {
	info    zone.Info
	spec    zone.Spec
	stop    func()
	failed  string
	watches map[*watch]struct{}
}

type watch struct{ ended func(zone.End) }

var _ zone.Manager = (*Host)(nil)

// New returns a host without zones.
func New(hooks Hooks) *Host {
	return &Host{hooks: hooks, zones: map[string]*entry{}, faults: map[string]map[Op]*Fault{},
		unhang: make(chan struct{})}
}

// SetFault makes op misbehave for the zone of this name, or for every zone if
// name is empty. A zero Fault ends the misbehaviour.
func (h *Host) SetFault(name string, op Op, f Fault) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faults[name] == nil {
		h.faults[name] = map[Op]*Fault{}
	}
	h.faults[name][op] = &f
}

// Unhang lets go of every operation that hangs, those that are deaf too.
func (h *Host) Unhang() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.unhang)
	h.unhang = make(chan struct{})
}

// Put places a zone in a state, as if somebody else had made it or changed it.
func (h *Host) Put(name string, s zone.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s == zone.Absent {
		h.end(name, h.zones[name], "zone is gone")
		delete(h.zones, name)
		return
	}
	e := h.zones[name]
	if e == nil {
		e = &entry{info: zone.Info{Name: name}, watches: map[*watch]struct{}{}}
		h.zones[name] = e
	}
	if e.info.State == zone.Running && s != zone.Running {
		h.end(name, e, "zone is "+s.String())
	}
	e.info.State = s
}

// Die ends a zone's server, as if it had crashed.
func (h *Host) Die(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil && e.info.State == zone.Running {
		h.end(name, e, "exit status 1")
		e.info.State = zone.Installed
	}
}

// FailServer ends the server of a running zone for good, and leaves the zone running.
func (h *Host) FailServer(name, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil && e.info.State == zone.Running {
		e.failed = why
		if e.stop != nil {
			go e.stop()
			e.stop = nil
		}
	}
}

// Calls returns every operation begun so far, as "op zone".
func (h *Host) Calls() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.calls...)
}

// end tells everybody who watches a zone that it runs no longer. h.mu is held.
func (h *Host) end(_ string, e *entry, how string) {
	if e == nil {
		return
	}
	if e.stop != nil {
		go e.stop()
		e.stop = nil
	}
	for w := range e.watches {
		go w.ended(zone.End{How: how})
	}
	e.watches = map[*watch]struct{}{}
	e.info.Incarnation, e.info.PID = "", 0
}

// begin notes a call and lets its fault happen.
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
		return f, fmt.Errorf("%s zone %s: %w", op, name, ErrFault)
	}
	return f, nil
}

// take finds the fault of an operation and uses up one occurrence of it.
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
