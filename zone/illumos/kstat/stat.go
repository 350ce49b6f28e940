package kstat

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A key names one kstat.
type key struct {
	module   string
	instance int
	name     string
}

// stats are kstats with their statistics by name, as text.
type stats map[key]map[string]string

func (s stats) set(k key, statistic, value string) {
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

// sample makes out what the kstats mean. One that lacks what names it, or that
// is of another zone than it says, was caught in the making and is left out.
func (s stats) sample() Sample {
	var out Sample
	for _, k := range s.ordered() {
		values := reading{s[k]}
		switch {
		case k.module == moduleZones:
			if z, ok := values.zone(k); ok {
				out.Zones = keepLast(out.Zones, z, func(z Zone) string { return z.Name })
			}
		case k.module == moduleLink:
			if l, ok := values.link(k); ok {
				out.Links = keepLast(out.Links, l, func(l Link) string { return l.Name })
			}
		case k.module == moduleVMM && k.name == nameVM:
			if vm, ok := s.vm(k); ok {
				out.VMs = keepLast(out.VMs, vm, func(vm VM) string { return vm.Name })
			}
		case k.module == moduleVMM && k.name == nameReservoir:
			if r, ok := values.reservoir(); ok {
				out.Reservoir = &r
			}
		}
	}
	slices.SortFunc(out.Zones, func(a, b Zone) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.VMs, func(a, b VM) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Links, func(a, b Link) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// ordered returns the keys, those of lower instances first.
func (s stats) ordered() []key {
	return slices.SortedFunc(maps.Keys(s), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.instance, b.instance), cmp.Compare(a.module, b.module), cmp.Compare(a.name, b.name))
	})
}

// keepLast adds an element in place of one of the same name: while a zone or VM
// of one name follows another, there are kstats of both, and the higher
// instance is mostly the newer one.
func keepLast[E any](all []E, e E, name func(E) string) []E {
	all = slices.DeleteFunc(all, func(other E) bool { return name(other) == name(e) })
	return append(all, e)
}

// vm collects a VM's kstat and those of its virtual CPUs.
func (s stats) vm(k key) (VM, bool) {
	vm := VM{Name: s[k][statVMName]}
	for other, values := range s {
		number, isVCPU := strings.CutPrefix(other.name, namePrefixVCPU)
		id, err := strconv.Atoi(number)
		if other.module != moduleVMM || other.instance != k.instance || !isVCPU || err != nil {
			continue
		}
		if v, ok := (reading{values}).vcpu(id); ok && v.started() {
			vm.VCPUs = append(vm.VCPUs, v)
		}
	}
	slices.SortFunc(vm.VCPUs, func(a, b VCPU) int { return cmp.Compare(a.ID, b.ID) })
	return vm, vm.Name != ""
}

// A reading takes values of one kstat.
type reading struct{ values map[string]string }

// zone is not ok if the kstat is not of the zone that it is named for.
func (r reading) zone(k key) (Zone, bool) {
	z := Zone{Name: r.values[statZoneName], ID: k.instance}
	user, ok1 := r.duration(statUser)
	sys, ok2 := r.duration(statSys)
	if waited, ok := r.duration(statWaitrq); ok {
		z.Waited = &waited
	}
	z.CPU = user + sys
	return z, ok1 && ok2 && z.Name != "" && strings.HasPrefix(z.Name, k.name)
}

func (r reading) link(k key) (Link, bool) {
	received, ok1 := r.number(statReceived)
	sent, ok2 := r.number(statSent)
	return Link{Name: k.name, Received: received, Sent: sent}, ok1 && ok2
}

func (r reading) vcpu(id int) (VCPU, bool) {
	v := VCPU{ID: id}
	for _, f := range []struct {
		to   *time.Duration
		name string
	}{
		{&v.Initial, statInit}, {&v.Guest, statRun}, {&v.Idle, statIdle},
		{&v.InKernel, statEmulateKern}, {&v.InUser, statEmulateUser}, {&v.Waiting, statSched},
	} {
		var ok bool
		if *f.to, ok = r.duration(f.name); !ok {
			return VCPU{}, false
		}
	}
	return v, true
}

func (r reading) reservoir() (Reservoir, bool) {
	var out Reservoir
	for _, f := range []struct {
		to   *uint64
		name string
	}{
		{&out.Free, statFree}, {&out.Allocated, statAllocated},
		{&out.Transient, statTransient}, {&out.Limit, statLimit},
	} {
		var ok bool
		if *f.to, ok = r.number(f.name); !ok {
			return Reservoir{}, false
		}
	}
	return out, true
}

func (r reading) number(name string) (uint64, bool) {
	v, err := strconv.ParseUint(r.values[name], 10, 64)
	return v, err == nil
}

// duration reads nanoseconds. A Duration holds 292 years of them.
func (r reading) duration(name string) (time.Duration, bool) {
	v, err := strconv.ParseInt(r.values[name], 10, 64)
	return time.Duration(v), err == nil && v >= 0
}
