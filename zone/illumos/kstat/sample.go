package kstat

import (
	"context"
	"time"
)

// A Source takes samples. It is safe for concurrent use and returns soon after
// ctx ends, unless it waits for something that even SIGKILL does not end.
type Source interface {
	Sample(ctx context.Context) (Sample, error)
}

// A Sample is one look at everything. It is a copy; nothing keeps it up to date.
// What a source does not know is missing. Slices are sorted by name.
type Sample struct {
	Zones []Zone
	VMs   []VM
	Links []Link
	// Reservoir is nil where there is none.
	Reservoir *Reservoir
}

// A Zone is what the processes of one active zone use.
type Zone struct {
	Name string
	// ID is the zone's id, or its first process's on hosts without zones.
	ID int
	// CPU is the processor time used since the zone's boot, by programs and by
	// the kernel for them.
	CPU time.Duration
	// Waited is for how long its threads could have run and waited for a CPU, in
	// total since its boot; nil if unknown.
	Waited *time.Duration
	// Resident is its processes' memory in bytes, without that of guests where
	// it comes from a reservoir; nil if unknown.
	Resident *uint64
}

// A VM is one virtual machine of the kernel's.
type VM struct {
	Name string
	// VCPUs are those that have ever left their initial state, by number.
	VCPUs []VCPU
}

// A VCPU is how long a virtual CPU was in each state since the VM was made.
type VCPU struct {
	ID int
	// Guest is in the guest, Idle halted by it, InKernel and InUser being emulated by
	// the kernel and by Propolis, Waiting for a CPU of the host, Initial before
	// its start.
	Guest, Idle, InKernel, InUser, Waiting, Initial time.Duration
}

// started tells whether the guest has such a CPU at all: the kernel keeps
// statistics for as many as any guest could have.
func (v VCPU) started() bool { return v.Guest+v.Idle+v.InKernel+v.InUser+v.Waiting > 0 }

// A Link is what went over a datalink since it was made, in bytes.
type Link struct {
	Name           string
	Received, Sent uint64
}

// A Reservoir is the memory kept for guests, in bytes; bhyve.Reservoir says what
// each means.
type Reservoir struct {
	Free, Allocated, Transient, Limit uint64
}
