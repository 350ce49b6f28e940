package illumostest

import "github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"

// A Fault is a fault to inject into the host.
type Fault = standin.Fault

// Values of Fault.Do.
const (
	// For any command, at any When:
	Slow     = standin.Slow
	Hang     = standin.Hang
	Fail     = standin.Fail
	Die      = standin.Die
	Garbage  = standin.Garbage
	Truncate = standin.Truncate
	// For a zone, named by Object:
	Omit        = standin.Omit
	BrandExit   = standin.BrandExit
	VarFull     = standin.VarFull
	Stuck       = standin.Stuck
	Maintenance = standin.Maintenance
	// For all links:
	LinksAway = standin.LinksAway
)

// Values of Fault.When.
const (
	Before = standin.Before
	During = standin.During
	After  = standin.After
)

// An Injected is an injected fault.
type Injected struct {
	h  *Host
	id string
}

// Inject adds a fault. It strikes Times times, or until it is released. A command
// that hangs because of it continues when it is released.
func (h *Host) Inject(f Fault) *Injected { return &Injected{h, h.Host.Inject(f)} }

// Release removes the fault. It may be called repeatedly.
func (i *Injected) Release() { i.h.Host.Release(i.id) }

// Struck returns how often the fault has struck, or 0 if it is released.
func (i *Injected) Struck() int {
	for _, f := range i.h.Host.Faults() {
		if f.ID == i.id {
			return f.Struck
		}
	}
	return 0
}

// WaitStruck waits until the fault has struck at least times times.
func (i *Injected) WaitStruck(times int) {
	i.h.t.Helper()
	i.h.Eventually("a fault strikes", func() bool { return i.Struck() >= times })
}

// ReleaseAll removes every fault.
func (h *Host) ReleaseAll() { h.Host.Release("") }
