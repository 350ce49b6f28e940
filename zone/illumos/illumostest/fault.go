package illumostest

import "github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"

// A Fault is something that goes wrong on the host.
type Fault = standin.Fault

// What a Fault can do.
const (
	// To any command, at any When:
	Slow     = standin.Slow
	Hang     = standin.Hang
	Fail     = standin.Fail
	Die      = standin.Die
	Garbage  = standin.Garbage
	Truncate = standin.Truncate
	// To a zone, named by Object:
	ExtraFields  = standin.ExtraFields
	UnknownState = standin.UnknownState
	LockHeld     = standin.LockHeld
	BrandExit    = standin.BrandExit
	BusyMounts   = standin.BusyMounts
	Stuck        = standin.Stuck
	Unkillable   = standin.Unkillable
	Maintenance  = standin.Maintenance
	Offline      = standin.Offline
	Silent       = standin.Silent
	// To a link, named by Object:
	LinkBusy = standin.LinkBusy
)

// When a Fault strikes.
const (
	Before = standin.Before
	During = standin.During
	After  = standin.After
)

// An Injected is a fault that was put in.
type Injected struct {
	h  *Host
	id string
}

// Inject puts in a fault. It strikes until it has done so Times times or is
// released; what hangs because of it hangs until it is released.
func (h *Host) Inject(f Fault) *Injected { return &Injected{h, h.store.Inject(f)} }

// Release takes the fault away. It may be called repeatedly.
func (i *Injected) Release() { i.h.store.Release(i.id) }

// Struck returns how often the fault has struck; 0 once it is released.
func (i *Injected) Struck() int {
	for _, f := range i.h.store.Faults() {
		if f.ID == i.id {
			return f.Struck
		}
	}
	return 0
}

// WaitStruck waits until the fault has struck this often.
func (i *Injected) WaitStruck(times int) {
	i.h.t.Helper()
	i.h.Eventually("a fault strikes", func() bool { return i.Struck() >= times })
}

// ReleaseAll takes every fault away.
func (h *Host) ReleaseAll() { h.store.Release("") }
