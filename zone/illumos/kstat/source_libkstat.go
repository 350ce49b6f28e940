//go:build illumos && cgo

package kstat

import (
	"context"
	"fmt"
	"strconv"

	libkstat "github.com/illumos/go-kstat"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone/stats"
)

// underWay has an element while a sample is under way: a read of the kernel's
// statistics cannot be interrupted.
var underWay = make(chan struct{}, 1)

// Sample takes a sample of the host's statistics, in this build with libkstat. When
// ctx ends first, the read goes on without a caller, and the next sample waits for it.
func Sample(ctx context.Context, _ *command.Set) (stats.Sample, error) {
	select {
	case underWay <- struct{}{}:
	case <-ctx.Done():
		return stats.Sample{}, fmt.Errorf("sample kstats: wait for the last sample: %w", context.Cause(ctx))
	}
	type result struct {
		all readings
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-underWay }()
		all, err := read()
		done <- result{all, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return stats.Sample{}, fmt.Errorf("sample kstats: %w", r.err)
		}
		return r.all.sample(), nil
	case <-ctx.Done():
		return stats.Sample{}, fmt.Errorf("sample kstats: %w", context.Cause(ctx))
	}
}

// statistics are those that a Sample is made from, by module.
var statistics = map[string][]string{
	moduleZones: {statZoneName, statUser, statSys, statWaitrq},
	moduleVMM: {statVMName, statInit, statRun, statIdle, statEmulateKern, statEmulateUser, statSched,
		statFree, statAllocated, statTransient, statLimit},
	moduleLink: {statReceived, statSent},
}

// read reads every kstat that a Sample is made from. It opens libkstat anew each
// time, since kstats come and go with zones. The library panics at a type of
// statistic that it does not know.
func read() (all readings, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	token, err := libkstat.Open()
	if err != nil {
		return nil, err
	}
	defer token.Close()
	all = make(readings)
	for _, ks := range token.All() {
		if ks.Type != libkstat.NamedStat || statistics[ks.Module] == nil || ks.Refresh() != nil {
			continue // one that cannot be refreshed has ended since the list was made
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
