//go:build illumos && cgo

package kstat

import (
	"context"
	"fmt"
	"strconv"

	libkstat "github.com/illumos/go-kstat"
)

// New returns the source that this program was built with: libkstat. It does
// not use run.
func New(Runner) Source { return &library{turn: make(chan struct{}, 1)} }

// statistics are those that a Sample is made from, by module.
var statistics = map[string][]string{
	moduleZones: {statZoneName, statUser, statSys, statWaitrq},
	moduleVMM: {statVMName, statInit, statRun, statIdle, statEmulateKern, statEmulateUser, statSched,
		statFree, statAllocated, statTransient, statLimit},
	moduleLink: {statReceived, statSent},
}

// library takes samples through libkstat, one at a time.
type library struct {
	// turn has an element while a sample is under way.
	turn chan struct{}
}

// Sample reads the kernel's kstats. A read cannot be interrupted: when ctx ends
// first it goes on without a caller, and the next sample waits for it.
func (l *library) Sample(ctx context.Context) (Sample, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return Sample{}, fmt.Errorf("sample kstats: wait for the last sample: %w", context.Cause(ctx))
	}
	type result struct {
		all stats
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-l.turn }()
		var r result
		defer func() { done <- r }()
		// The library panics at a type of statistic that it does not know.
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("panic: %v", p)
			}
		}()
		r.all, r.err = read()
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return Sample{}, fmt.Errorf("sample kstats: %w", r.err)
		}
		return r.all.sample(), nil
	case <-ctx.Done():
		return Sample{}, fmt.Errorf("sample kstats: %w", context.Cause(ctx))
	}
}

// read takes every kstat that a Sample is made from. It opens libkstat anew each
// time: kstats come and go with zones, and an open one would have to follow.
func read() (stats, error) {
	token, err := libkstat.Open()
	if err != nil {
		return nil, err
	}
	defer token.Close()
	all := make(stats)
	for _, ks := range token.All() {
		if !wanted(ks) || ks.Refresh() != nil {
			continue // it may have ended since the list was made
		}
		k := key{module: ks.Module, instance: ks.Instance, name: ks.Name}
		for _, name := range statistics[ks.Module] {
			if n, err := ks.GetNamed(name); err == nil && n != nil {
				all.set(k, name, text(n))
			}
		}
	}
	return all, nil
}

func wanted(ks *libkstat.KStat) bool {
	return ks.Type == libkstat.NamedStat && statistics[ks.Module] != nil
}

func text(n *libkstat.Named) string {
	switch n.Type {
	case libkstat.CharData, libkstat.String:
		return n.StringVal
	case libkstat.Int32, libkstat.Int64:
		return strconv.FormatInt(n.IntVal, 10)
	default:
		return strconv.FormatUint(n.UintVal, 10)
	}
}
