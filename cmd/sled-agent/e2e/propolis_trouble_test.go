package e2e

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Generations that fall at Propolis rise at Nexus (T). A monitor that waits for
// the next generation then waits for long, which is no reason to miss a deadline.
func TestGenerationsThatFall(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	v.born(lying("backwards,ignore-stop"))
	v.run()
	v.event("run")
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A Propolis that answers nothing but errors, and at once, is called about once a
// second for each kind of call, not as fast as it answers.
func TestErrorStorm(t *testing.T) {
	l := sharedSled(t)
	for _, lie := range []string{"storm", "garbage-all", "reset-all", "babble-all"} {
		t.Run(lie, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies(lie)
			s := v.stop(5 * time.Second)
			before := v.calls()
			began := time.Now()
			calls := before
			pace(4*time.Second, 100*time.Millisecond, func() bool {
				if time.Since(began) < 3900*time.Millisecond {
					calls = v.calls()
				}
				return true
			})
			for call, n := range calls {
				if n -= before[call]; n > 9 {
					t.Errorf("%q was called %d times within 4 s", call, n)
				}
			}
			v.removedOnTime(s)
			v.endsDestroyed()
		})
	}
}

// A monitor that has something to tell at once, each time, is asked no more often
// than one that fails.
func TestMonitorThatNeverWaits(t *testing.T) {
	l := sharedSled(t)
	for name, next := range map[string]func(uint64) uint64{
		"with nothing new":         func(uint64) uint64 { return 7 },
		"with the next generation": func(n uint64) uint64 { return n },
		"with a generation before": func(n uint64) uint64 { return 1<<40 - n },
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v, p := l.launchFake(func(n uint64) string { return monitorAnswer(next(n), "Running") })
			pace(2*time.Second, 50*time.Millisecond, func() bool { return true }) // A burst of news is fine.
			before := p.asked.Load()
			pace(3*time.Second, 50*time.Millisecond, func() bool { return true })
			if n := p.asked.Load() - before; n > 9 {
				t.Errorf("the monitor was asked %d times within 3 s", n)
			}
			s := v.stop(grace)
			v.removedOnTime(s)
			v.endsDestroyed()
		})
	}
}

// Whatever the monitor says, the agent goes on and a stop ends (X, D).
func TestMonitorThatTellsNonsense(t *testing.T) {
	l := sharedSled(t)
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
		v, _ := l.fake(func(n uint64) string { return nonsense })
		v.event("run")
		vms = append(vms, v)
	}
	stops := stopAll(vms, grace)
	for i, v := range vms {
		v.removedOnTime(stops[i])
	}
	for _, v := range vms {
		v.endsDestroyed()
	}
}
