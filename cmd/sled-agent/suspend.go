package main

import (
	"context"
	"time"
)

const (
	// suspendTick is how often the clocks are compared.
	suspendTick = time.Second
	// suspendLeast is the least difference that counts: on a busy host, the two
	// readings themselves may be that far apart.
	suspendLeast = 500 * time.Millisecond
)

// watchSuspend calls slept with the time for which the host was suspended, after each
// suspension, until ctx ends. It compares the boot clock, which advances while the
// host is suspended, with the process's monotonic clock, which deadline timers use and
// which then stands still (clock_gettime(2), CLOCK_MONOTONIC).
func watchSuspend(ctx context.Context, boot func() time.Duration, slept func(time.Duration)) {
	tick := time.NewTicker(suspendTick)
	defer tick.Stop()
	begun, bootBegun := time.Now(), boot()
	for told := time.Duration(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		// In this order, a pause between the readings makes the gap smaller, not larger.
		ahead := boot() - bootBegun
		if gap := ahead - time.Since(begun) - told; gap > suspendLeast {
			told += gap
			slept(gap)
		}
	}
}
