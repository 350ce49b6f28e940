// Package stats samples the resource usage of a sled's zones, VMs, links and
// reservoir, and exports it to Prometheus. A Sample has the same meaning on every
// host: on illumos it comes from the kernel's statistics (zone/illumos/kstat), on
// Linux from /proc (zone/process).
//
// The meaning of the numbers for a VMM, limits and alarms do not belong here.
package stats

import (
	"context"
	"time"
)

// A Source takes samples. It is safe for concurrent use. Sample returns soon after
// ctx ends, unless it waits for something that even SIGKILL does not end.
type Source interface {
	Sample(ctx context.Context) (Sample, error)
}

// A Sample is the usage at one moment. It is a copy and is not updated. Values that
// a source does not know are missing. Slices are sorted by name.
type Sample struct {
	Zones []Zone
	VMs   []VM
	Links []Link
	// Reservoir is nil if the host has none.
	Reservoir *Reservoir
}

// A Zone is the usage of one active zone's processes.
type Zone struct {
	Name string
	// ID is the zone's id, or the pid of its first process on hosts without zones.
	ID int
	// CPU is the user and system time used since the zone's boot.
	CPU time.Duration
	// Waited is the total time since the zone's boot that its runnable threads waited
	// for a CPU; nil if unknown.
	Waited *time.Duration
	// Resident is its processes' memory in bytes, without guest memory that comes
	// from a reservoir; nil if unknown.
	Resident *uint64
}

// A VM is one virtual machine of the kernel.
type VM struct {
	Name string
	// VCPUs are those that have left their initial state at least once, by number.
	VCPUs []VCPU
}

// A VCPU is the time that a virtual CPU spent in each state since the VM was made.
type VCPU struct {
	ID int
	// Guest is time in the guest, Idle halted by the guest, InKernel and InUser
	// emulated by the kernel and by Propolis, Waiting for a CPU of the host, Initial
	// before its start.
	Guest, Idle, InKernel, InUser, Waiting, Initial time.Duration
}

// A Link is the traffic of a datalink since it was made, in bytes.
type Link struct {
	Name           string
	Received, Sent uint64
}

// A Reservoir is the memory kept for guests, in bytes; see bhyve.Reservoir.
type Reservoir struct {
	Free, Allocated, Transient, Limit uint64
}
