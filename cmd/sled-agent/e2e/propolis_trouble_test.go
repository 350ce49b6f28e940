package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A Propolis that answers only errors, and at once, is called about once a second for each kind of call.
func TestErrorStorm(t *testing.T) {
	h := sharedHarness(t)
	for _, fault := range []string{"storm", "garbage-all", "reset-all", "babble-all"} {
		t.Run(fault, func(t *testing.T) {
			v := faults(fault).launch(h.in(t))
			v.stop(never)
			v.isPaced(v.calls)
			v.stopsAtDeadline(0)
		})
	}
}

// isPaced waits for a few seconds in which each call was made about once a second, with only
// short bursts. A burst at the beginning is allowed.
func (v *vm) isPaced(calls func() map[string]uint64) {
	v.t.Helper()
	waitFor(v.t, func() string {
		began, before := time.Now(), calls()
		pause(3 * time.Second)
		for call, n := range calls() {
			if span := time.Since(began); n-before[call] > 6+uint64(span/time.Second) {
				return fmt.Sprintf("%q was called %d times within %v", call, n-before[call], span)
			}
		}
		return ""
	})
}

// A monitor that always has news at once is asked no more often than a failing one.
func TestMonitorThatNeverWaits(t *testing.T) {
	h := sharedHarness(t)
	for name, next := range map[string]func(uint64) uint64{
		"with nothing new":         func(uint64) uint64 { return 7 },
		"with the next generation": func(n uint64) uint64 { return n },
		"with a generation before": func(n uint64) uint64 { return 1<<40 - n },
	} {
		t.Run(name, func(t *testing.T) {
			v, p := h.in(t).launchFake(func(n uint64) string { return monitorAnswer(next(n), "Running") })
			v.isPaced(func() map[string]uint64 { return map[string]uint64{"monitor": uint64(p.asked.Load())} })
			v.stopsAtDeadline(grace)
		})
	}
}

// Whatever the monitor answers, the agent keeps running and a stop ends (X, D).
func TestNonsenseFromTheMonitor(t *testing.T) {
	h := sharedHarness(t)
	var vms []*vm
	for _, nonsense := range []string{
		"", "null", "[]", "{}", `"Running"`, strings.Repeat("[", 100_000), strings.Repeat(`{"a":`, 100_000),
		monitorAnswer(math.MaxUint64, "Running"), monitorAnswer(2, "Exploded"), monitorAnswer(2, "running"),
		monitorAnswer(2, ""), `{"gen":-1,"state":"Running"}`, `{"gen":1.5,"state":"Running"}`,
		`{"gen":1e400,"state":"Running"}`, `{"gen":"2","state":"Running"}`, `{"gen":2}`, `{"state":"Running"}`,
		`{"gen":2,"state":"Running","migration":{"migration_in":{"id":"x","state":"Sync"},"migration_out":null}}`,
		`{"gen":2,"state":"Running","migration":{"migration_in":{"id":"` + uuid.NewString() +
			`","state":"Nowhere"},"migration_out":null}}`,
		`{"gen":2,"state":"Running","migration":null}`, strings.Repeat(" ", 4<<20), "\xff\xfe\x00",
	} {
		v, _ := h.fake(func(n uint64) string { return nonsense })
		v.event("run")
		vms = append(vms, v)
	}
	stopAllAtDeadline(vms, grace)
}
