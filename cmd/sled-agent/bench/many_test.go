package bench

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/sledagent/sledagent/zone/zonetest"
)

// BenchmarkMany measures what an agent does for all VMMs at once, at 1,000 and 10,000 of them,
// with zones in memory: the list of all, which the metrics count as well, the list of zones that
// the periodic look begins with, and the end of the agent, which ends no VM. Each is reported for
// one VMM: figures that grow are worse than linear.
func BenchmarkMany(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("vmms=%d", n), func(b *testing.B) {
			if testing.Short() {
				b.Skip("thousands of VMMs")
			}
			var list, look, end sample
			for b.Loop() {
				r := newHarness(b, options{zones: zonetest.New(zonetest.Hooks{})})
				r.startMany(n)
				for range rounds {
					list = append(list, took(b, func() error { _, err := json.Marshal(r.List()); return err }))
					look = append(look, took(b, func() error { _, err := r.kills.List(b.Context()); return err }))
				}
				end = append(end, took(b, func() error { r.close(); return nil }))
			}
			all := map[string]float64{}
			for name, s := range map[string]sample{"list": list, "look": look, "end": end} {
				all[name+"-us/VMM"] = float64(s.median()) / float64(time.Microsecond) / float64(n)
			}
			metrics(b, all)
		})
	}
}

// startMany starts VMMs, not all at once.
func (r *harness) startMany(n int) {
	r.b.Helper()
	for range n / 1000 {
		r.startInMemory(1000)
	}
}

func took(b testing.TB, do func() error) time.Duration {
	b.Helper()
	begun := time.Now()
	if err := do(); err != nil {
		b.Fatal(err)
	}
	return time.Since(begun)
}
