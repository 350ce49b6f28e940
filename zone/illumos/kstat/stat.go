package kstat

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sledagent/sledagent/zone/stats"
)

// A key identifies one kstat.
type key struct {
	module   string
	instance int
	name     string
}

// readings are kstats with their statistics by name, as text.
type readings map[key]map[string]string

func (s readings) set(k key, statistic, value string) {
	if s[k] == nil {
		s[k] = make(map[string]string)
	}
	s[k][statistic] = value
}

// Names of the kernel's modules, kstats and statistics.
const (
	moduleZones = "zones"
	moduleVMM   = "vmm"
	moduleLink  = "link"

	nameVM         = "vm"
	namePrefixVCPU = "vcpu"
	nameReservoir  = "vmm_reservoir"

	statZoneName    = "zonename"
	statUser        = "nsec_user"
	statSys         = "nsec_sys"
	statWaitrq      = "nsec_waitrq"
	statVMName      = "vm_name"
	statInit        = "time_init"
	statRun         = "time_run"
	statIdle        = "time_idle"
	statEmulateKern = "time_emu_kern"
	statEmulateUser = "time_emu_user"
	statSched       = "time_sched"
	statFree        = "bytes_free"
	statAllocated   = "bytes_alloc"
	statTransient   = "bytes_transient_alloc"
	statLimit       = "bytes_limit"
	statReceived    = "rbytes64"
	statSent        = "obytes64"
)

// sample interprets the kstats. It omits a kstat without the statistic that names
// it, or whose two names contradict each other: it was read while it was created.
func (s readings) sample() stats.Sample {
	var out stats.Sample
	for _, k := range s.ordered() {
		values := reading{s[k]}
		switch {
		case k.module == moduleZones:
			if z, ok := values.zone(k); ok {
				out.Zones = keepLast(out.Zones, z, func(z stats.Zone) string { return z.Name })
			}
		case k.module == moduleLink:
			if l, ok := values.link(k); ok {
				out.Links = keepLast(out.Links, l, func(l stats.Link) string { return l.Name })
			}
		case k.module == moduleVMM && k.name == nameVM:
			if vm, ok := s.vm(k); ok {
				out.VMs = keepLast(out.VMs, vm, func(vm stats.VM) string { return vm.Name })
			}
		case k.module == moduleVMM && k.name == nameReservoir:
			if r, ok := values.reservoir(); ok {
				out.Reservoir = &r
			}
		}
	}
	slices.SortFunc(out.Zones, func(a, b stats.Zone) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.VMs, func(a, b stats.VM) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Links, func(a, b stats.Link) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// ordered returns the keys, those of lower instances first.
func (s readings) ordered() []key {
	return slices.SortedFunc(maps.Keys(s), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.module, b.module), cmp.Compare(a.name, b.name))
	})
}

// keepLast appends an element and removes any other of the same name. While a zone
// or VM replaces another of the same name, both have kstats, and the higher instance
// is usually the newer one.
func keepLast[E any](all []E, e E, name func(E) string) []E {
	all = slices.DeleteFunc(all, func(other E) bool { return name(other) == name(e) })
	return append(all, e)
}

// vm collects a VM's kstat and those of its virtual CPUs.
func (s readings) vm(k key) (stats.VM, bool) {
	vm := stats.VM{Name: s[k][statVMName]}
	for other, values := range s {
		number, isVCPU := strings.CutPrefix(other.name, namePrefixVCPU)
		id, err := strconv.Atoi(number)
		if other.module != moduleVMM || other.instance != k.instance || !isVCPU || err != nil {
			continue
		}
		if v, ok := (reading{values}).vcpu(id); ok && started(v) {
			vm.VCPUs = append(vm.VCPUs, v)
		}
	}
	slices.SortFunc(vm.VCPUs, func(a, b stats.VCPU) int { return cmp.Compare(a.ID, b.ID) })
	return vm, vm.Name != ""
}

// started reports whether the guest has this CPU: the kernel keeps statistics for
// the largest number of CPUs that a guest can have.
func started(v stats.VCPU) bool { return v.Guest+v.Idle+v.InKernel+v.InUser+v.Waiting > 0 }

// A reading parses the values of one kstat.
type reading struct{ values map[string]string }

// zone returns false if the kstat's name is not a prefix of its zonename.
func (r reading) zone(k key) (stats.Zone, bool) {
	z := stats.Zone{Name: r.values[statZoneName], ID: k.instance}
	user, ok1 := r.duration(statUser)
	sys, ok2 := r.duration(statSys)
	if waited, ok := r.duration(statWaitrq); ok {
		z.Waited = &waited
	}
	z.CPU = user + sys
	return z, ok1 && ok2 && z.Name != "" && strings.HasPrefix(z.Name, k.name)
}

func (r reading) link(k key) (stats.Link, bool) {
	received, ok1 := r.number(statReceived)
	sent, ok2 := r.number(statSent)
	return stats.Link{Name: k.name, Received: received, Sent: sent}, ok1 && ok2
}

func (r reading) vcpu(id int) (stats.VCPU, bool) {
	v := stats.VCPU{ID: id}
	for _, f := range []struct {
		to   *time.Duration
		name string
	}{
		{&v.Initial, statInit}, {&v.Guest, statRun}, {&v.Idle, statIdle},
		{&v.InKernel, statEmulateKern}, {&v.InUser, statEmulateUser}, {&v.Waiting, statSched},
	} {
		var ok bool
		if *f.to, ok = r.duration(f.name); !ok {
			return stats.VCPU{}, false
		}
	}
	return v, true
}

func (r reading) reservoir() (stats.Reservoir, bool) {
	var out stats.Reservoir
	for _, f := range []struct {
		to   *uint64
		name string
	}{
		{&out.Free, statFree}, {&out.Allocated, statAllocated},
		{&out.Transient, statTransient}, {&out.Limit, statLimit},
	} {
		var ok bool
		if *f.to, ok = r.number(f.name); !ok {
			return stats.Reservoir{}, false
		}
	}
	return out, true
}

func (r reading) number(name string) (uint64, bool) {
	v, err := strconv.ParseUint(r.values[name], 10, 64)
	return v, err == nil
}

// duration parses nanoseconds. A Duration holds 292 years.
func (r reading) duration(name string) (time.Duration, bool) {
	v, err := strconv.ParseInt(r.values[name], 10, 64)
	return time.Duration(v), err == nil && v >= 0
}
