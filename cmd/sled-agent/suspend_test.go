package main

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestSuspendIsNoticedOnceAndInFull(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var asleep atomic.Int64
		boot := func() time.Duration { return time.Since(start) + time.Duration(asleep.Load()) }
		ctx, cancel := context.WithCancel(t.Context())
		var slept []time.Duration
		go watchSuspend(ctx, boot, func(d time.Duration) { slept = append(slept, d) })
		for _, nap := range []time.Duration{0, 10 * time.Minute, 0, 100 * time.Millisecond, 3 * time.Second} {
			time.Sleep(time.Minute)
			asleep.Add(int64(nap))
		}
		time.Sleep(time.Minute)
		cancel()
		synctest.Wait()
		if want := []time.Duration{10 * time.Minute, 3100 * time.Millisecond}; !slices.Equal(slept, want) {
			t.Errorf("noticed %v, want %v", slept, want)
		}
	})
}
