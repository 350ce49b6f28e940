package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sledagent/sledagent/agent/vmm"
)

// rounds is the minimum number of rounds.
const rounds = 3

// BenchmarkDeadline stops many VMMs, whose Propolis ignores the stop, with the same
// deadline. It reports how late each removal began, and how late the zone's processes were
// sent SIGKILL. The floor is a loop that waits for an instant and sends as many process
// groups SIGKILL.
//
// In each round the last of all VMMs counts, and of the rounds the median. The metrics named
// max are the worst of all rounds.
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
				r := newHarness(b, options{zones: backend.open(b)})
				for b.Loop() {
					for range rounds {
						l.round(r, n)
					}
				}
				l.report(b)
			})
		}
	}
}

// lateness holds the results of several rounds.
type lateness struct {
	begun, killed, floor sample // of the last VMM of each round
}

func (l *lateness) round(r *harness, n int) {
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
		// The first event counts: a removal may be repeated.
		i := slices.IndexFunc(s.Events, func(e vmm.Event) bool { return e.Kind == "removal" })
		at, _ := r.kills.sent(v.zone())
		begun, killed = append(begun, s.Events[i].At.Sub(deadline)), append(killed, at.Sub(deadline))
	}
	r.forget(vms)
	l.begun, l.killed = append(l.begun, begun.max()), append(l.killed, killed.max())
	l.floor = append(l.floor, killFloor(r.b, n).max())
}

// stopAll stops every VMM with the same deadline.
func (r *harness) stopAll(vms []vm, due time.Time) {
	var all errgroup.Group
	for _, v := range vms {
		all.Go(func() error {
			grace := max(time.Until(due), 0)
			_, err := r.Stop(r.b.Context(), v.id, &grace, 0)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		r.b.Fatal(err)
	}
}

func (l *lateness) report(b *testing.B) {
	floor := ms(l.floor.median())
	metrics(b, map[string]float64{
		"begun-ms": ms(l.begun.median()), "begun-max-ms": ms(l.begun.max()),
		"killed-ms": ms(l.killed.median()), "killed-max-ms": ms(l.killed.max()),
		"floor-ms": floor, "begun-x-floor": ms(l.begun.median()) / floor, "killed-x-floor": ms(l.killed.median()) / floor,
	})
}
