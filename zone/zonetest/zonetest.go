// Package zonetest is an in-memory zone.Manager for tests: real states and
// transitions, refused where a host would refuse them, and faults on demand.
// It runs nothing; a test decides what a zone's server does through Options.
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
	Look      Op = "look"
	Create    Op = "create"
	Boot      Op = "boot"
	Kill      Op = "kill"
	Halt      Op = "halt"
	DestroyVM Op = "destroy-vm"
	Uninstall Op = "uninstall"
	Delete    Op = "delete"
	Release   Op = "release"
	Tail      Op = "tail"
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
		return f, fmt.Errorf("%s: %w", op, ErrFault)
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

// List looks at every zone.
func (h *Host) List(ctx context.Context) ([]zone.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []zone.Info
	for _, e := range h.zones {
		all = append(all, e.info)
	}
	return all, nil
}

// Look looks at one zone.
func (h *Host) Look(ctx context.Context, name string) (zone.Info, error) {
	if _, err := h.begin(ctx, Look, name); err != nil {
		return zone.Info{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil {
		return e.info, nil
	}
	return zone.Info{Name: name, State: zone.Absent}, nil
}

// Create makes an installed zone. A fault leaves it incomplete, a hang too.
func (h *Host) Create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	h.mu.Lock()
	if h.zones[spec.Name] != nil {
		h.mu.Unlock()
		return zone.Made{}, fmt.Errorf("create zone %s: %w", spec.Name, zone.ErrExists)
	}
	h.zones[spec.Name] = &entry{spec: spec, watches: map[*watch]struct{}{},
		info: zone.Info{Name: spec.Name, State: zone.Incomplete}}
	h.mu.Unlock()
	if _, err := h.begin(ctx, Create, spec.Name); err != nil {
		return zone.Made{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.zones[spec.Name]
	if e == nil {
		return zone.Made{}, fmt.Errorf("create zone %s: it was removed meanwhile", spec.Name)
	}
	e.info.State = zone.Installed
	made := zone.Made{Links: map[string]string{}}
	for i, nic := range spec.NICs {
		made.Links[nic.ID] = fmt.Sprintf("vnic%d", i)
	}
	return made, nil
}

// Boot runs an installed zone.
func (h *Host) Boot(ctx context.Context, name string) error {
	if _, err := h.begin(ctx, Boot, name); err != nil {
		return err
	}
	h.mu.Lock()
	e := h.zones[name]
	if e == nil || e.info.State != zone.Installed {
		h.mu.Unlock()
		return fmt.Errorf("boot zone %s: %w", name, zone.ErrNotInstalled)
	}
	h.boots++
	e.info.State, e.info.PID = zone.Running, 100000+h.boots
	e.info.Incarnation = fmt.Sprint(h.boots)
	spec := e.spec
	h.mu.Unlock()
	if h.hooks.Booted == nil {
		return nil
	}
	stop := h.hooks.Booted(name, spec.Addr)
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.info.State != zone.Running {
		go stop()
		return nil
	}
	e.stop = stop
	return nil
}

// Kill ends the zone's server; the zone itself stays running, like an illumos
// zone whose processes were killed, until it is halted.
func (h *Host) Kill(ctx context.Context, name string) error {
	if _, err := h.begin(ctx, Kill, name); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.zones[name]; e != nil && e.stop != nil {
		go e.stop()
		e.stop = nil
	}
	return nil
}

// Halt takes an active zone to installed.
func (h *Host) Halt(ctx context.Context, name string) error {
	f, err := h.begin(ctx, Halt, name)
	if err != nil {
		return err
	}
	to := zone.Installed
	if f.Stuck != zone.Absent {
		to = f.Stuck
	}
	return h.move(name, to, zone.Ready, zone.Running, zone.ShuttingDown, zone.Down, zone.Installed)
}

// DestroyVM does nothing but what a fault makes it do.
func (h *Host) DestroyVM(ctx context.Context, name string) error {
	_, err := h.begin(ctx, DestroyVM, name)
	return err
}

// Uninstall takes a zone to configured.
func (h *Host) Uninstall(ctx context.Context, name string) error {
	if _, err := h.begin(ctx, Uninstall, name); err != nil {
		return err
	}
	return h.move(name, zone.Configured, zone.Installed, zone.Incomplete, zone.Configured)
}

// Delete removes a configured zone.
func (h *Host) Delete(ctx context.Context, name string) error {
	if _, err := h.begin(ctx, Delete, name); err != nil {
		return err
	}
	return h.move(name, zone.Absent, zone.Configured, zone.Incomplete)
}

// Release does nothing but what a fault makes it do.
func (h *Host) Release(ctx context.Context, name string) error {
	_, err := h.begin(ctx, Release, name)
	return err
}

// move changes a zone's state if it is in one of the states from.
func (h *Host) move(name string, to zone.State, from ...zone.State) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.zones[name]
	if e == nil {
		return nil
	}
	for _, s := range from {
		if e.info.State != s {
			continue
		}
		if s == zone.Running && to != zone.Running {
			h.end(name, e, "signal: killed")
		}
		e.info.State = to
		if to == zone.Absent {
			delete(h.zones, name)
		}
		return nil
	}
	return fmt.Errorf("zone %s is %s", name, e.info.State)
}

// Tail returns a fixed line.
func (h *Host) Tail(ctx context.Context, name string, _ int) ([]byte, error) {
	if _, err := h.begin(ctx, Tail, name); err != nil {
		return nil, err
	}
	return []byte("last words of " + name + "\n"), nil
}

// Watch calls ended when the zone stops running.
func (h *Host) Watch(name string, ended func(zone.End)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.zones[name]
	if e == nil || e.info.State != zone.Running {
		go ended(zone.End{How: "zone is not running"})
		return func() {}
	}
	w := &watch{ended}
	e.watches[w] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(e.watches, w)
	}
}
