package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent/vmm"
)

// rounds is how often a deadline passes at least.
const rounds = 3

// BenchmarkDeadline has many VMMs due at one instant whose Propolis ignores the
// stop, and reports how long after each one's deadline its removal began, and
// how long until the kill of its zone had been sent. The floor is a loop that
// waits for an instant and sends as many process groups SIGKILL.
//
// Of each round the last of all VMMs counts, of many rounds the middle one; the
// metrics named max are the worst of all rounds.
func BenchmarkDeadline(b *testing.B) {
	for _, backend := range backends {
		for _, n := range []int{1, 200, 1000} {
			if n > 200 && backend.name == "process" {
				continue // two thousand processes measure the host, not the agent
			}
			b.Run(fmt.Sprintf("zones=%s/vmms=%d", backend.name, n), func(b *testing.B) {
				if n > 200 && testing.Short() {
					b.Skip("a thousand VMMs")
				}
				var l lateness
				r := newRig(b, options{zones: backend.open(b)})
				for b.Loop() {
					for range rounds {
						l.round(r, n)
					}
				}
				l.report(b, fmt.Sprintf(", %d at once, zones in %s", n, place[backend.name]))
			})
		}
	}
}

var place = map[string]string{"memory": "memory", "process": "processes"}

// lateness is what several rounds measured.
type lateness struct {
	begun, killed                      sample // of every VMM
	lastBegun, lastKilled, lastOfFloor sample // of every round
}

func (l *lateness) round(r *rig, n int) {
	r.b.Helper()
	vms := r.startInMemory(n)
	r.stopAll(vms, time.Now().Add(50*time.Millisecond+time.Duration(n)*time.Millisecond))
	r.awaitAll(vms, "killed", func(v vm) bool {
		_, sent := r.kills.sent(v.zone())
		return sent
	})
	r.awaitAll(vms, "gone", func(v vm) bool {
		s, err := r.Show(v.id)
		return err == nil && s.Phase == vmm.Ended.String()
	})
	var begun, killed sample
	for _, v := range vms {
		s, err := r.Show(v.id)
		if err != nil {
			r.b.Fatal(err)
		}
		deadline := s.Stop.Requested.Add(s.Stop.Grace)
		// The first of its kind: a removal may be gone through twice.
		i := slices.IndexFunc(s.Events, func(e vmm.Event) bool { return e.Kind == "removal" })
		at, _ := r.kills.sent(v.zone())
		begun, killed = append(begun, s.Events[i].At.Sub(deadline)), append(killed, at.Sub(deadline))
	}
	r.forget(vms)
	l.begun, l.killed = append(l.begun, begun...), append(l.killed, killed...)
	l.lastBegun, l.lastKilled = append(l.lastBegun, begun.max()), append(l.lastKilled, killed.max())
	l.lastOfFloor = append(l.lastOfFloor, killFloor(r.b, n).max())
}

// stopAll stops every VMM such that it is due at one instant.
func (r *rig) stopAll(vms []vm, due time.Time) {
	var all errgroup.Group
	for _, v := range vms {
		all.Go(func() error {
			grace := max(time.Until(due), 0)
			_, err := r.Stop(r.b.Context(), v.id, &grace)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		r.b.Fatal(err)
	}
}

func (l *lateness) report(b *testing.B, what string) {
	floor := ms(l.lastOfFloor.median())
	metrics(b, map[string]float64{
		"begun-median-ms": ms(l.begun.median()), "begun-max-ms": ms(l.begun.max()),
		"killed-median-ms": ms(l.killed.median()), "killed-max-ms": ms(l.killed.max()),
		"floor-ms": floor, "x-floor": ms(l.lastKilled.median()) / floor,
	})
	results.add(row{what: "deadline to removal begun" + what, unit: "ms", ours: ms(l.lastBegun.median()), floor: floor})
	results.add(row{what: "deadline to kill sent" + what, unit: "ms", ours: ms(l.lastKilled.median()), floor: floor})
}
