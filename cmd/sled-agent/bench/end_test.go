package bench

import (
	"context"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis"
)

// BenchmarkEnd reports the time from Propolis's report of Destroyed to its arrival at Nexus.
// The zone is removed in between. The floor for a process zone is to kill a process, wait
// for it, remove its directory, and send one bare PUT; for a zone in memory it is only the
// PUT. The floor has no ledger, which the agent writes first: the metric sync-ms is the time
// to make a few bytes of a file durable here.
func BenchmarkEnd(b *testing.B) {
	for _, backend := range backends {
		b.Run("zones="+backend.name, func(b *testing.B) {
			nexus := nexussim.New(nexussim.Options{})
			b.Cleanup(nexus.Close)
			addr, err := nexus.Listen("127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			r := newHarness(b, options{zones: backend.open(b), nexus: []string{"http://" + addr}})
			put := barePut(b)
			put()
			var ours, floor, synced sample
			for b.Loop() {
				ours = append(ours, r.end(nexus))
				synced = append(synced, syncFile(b))
				least := put()
				if backend.name == "process" {
					least += endFloor(b)
				}
				floor = append(floor, least)
			}
			x := ms(ours.median()) / ms(floor.median())
			metrics(b, map[string]float64{"median-ms": ms(ours.median()), "max-ms": ms(ours.max()),
				"floor-ms": ms(floor.median()), "x-floor": x, "sync-ms": ms(synced.median())})
		})
	}
}

// end runs a VMM and stops it, and returns how long its end took to reach Nexus.
func (r *harness) end(nexus *nexussim.Server) time.Duration {
	r.b.Helper()
	v := r.startInMemory(1)[0]
	if _, err := r.Stop(r.b.Context(), v.id, nil, 0); err != nil {
		r.b.Fatal(err)
	}
	r.awaitNexus(nexus, v, vmm.WireStopping)
	seen := time.Now()
	v.guest.say(2, propolis.StateDestroyed)
	row := r.awaitNexus(nexus, v, vmm.WireDestroyed)
	for _, s := range row.History {
		if s.State == vmm.WireDestroyed {
			return s.At.Sub(seen)
		}
	}
	r.b.Fatalf("Nexus never received Destroyed: %+v", row)
	return 0
}

// awaitNexus waits until Nexus has acknowledged a state and returns its row.
func (r *harness) awaitNexus(nexus *nexussim.Server, v vm, want vmm.WireState) (last nexussim.Row) {
	r.b.Helper()
	ctx, cancel := context.WithTimeout(r.b.Context(), waitLimit)
	defer cancel()
	err := nexus.Wait(ctx, v.id, func(row nexussim.Row) bool {
		last = row
		return row.State() == want && row.Acked == row.Gen()
	})
	if err != nil {
		r.b.Fatalf("Nexus never received %s, only %s: %v", want, last.State(), err)
	}
	return last
}
