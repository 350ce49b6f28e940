package vmm

import (
	"fmt"
	"testing"
)

// worldKey is a world without what only counts or stamps: two worlds of one key
// behave alike for ever after.
type worldKey struct {
	phase                     Phase
	wire                      WireState
	in, out                   MigrationState
	cold, src, stop, asked    bool
	acked, disowned           bool
	by                        Who
	short                     int
	armed                     Purpose
	outcome                   Outcome
	ran                       bool
	rebooting                 bool
	since                     uint64
	stopped, unregistered     bool
	removing, heldReb, heldUn bool
}

func (w world) key() worldKey {
	s := w.s
	k := worldKey{phase: s.Phase, wire: s.Record.VMM.State, cold: s.Cold, src: s.Src != "",
		disowned: s.Disowned, armed: s.Armed.For, outcome: s.Outcome, ran: s.Propolis.State.Wire() == WireRunning,
		rebooting: s.Rebooting, stopped: w.stopped, unregistered: w.unregistered,
		removing: w.removing, heldReb: w.rebooters, heldUn: w.unregisterers}
	if m := s.Record.MigrationIn; m != nil {
		k.in = m.State
	}
	if m := s.Record.MigrationOut; m != nil {
		k.out = m.State
	}
	if s.Stop != nil {
		k.stop, k.by, k.asked, k.acked = true, s.Stop.By, s.Stop.Asked, !s.Stop.Acked.IsZero()
		k.short = int(s.Stop.Grace.Seconds())
	}
	if s.Rebooting && s.Propolis.Gen > s.RebootFrom {
		k.since = min(s.Propolis.Gen-s.RebootFrom, 2)
	}
	return k
}

// TestExploreEveryReachableState visits every state that any order of inputs can
// lead to, from both ways to be registered, and checks every step out of each.
// States are told apart by all that the machine decides by, so the search ends
// by itself: it reaches its last new state at depth 11 and finds 9,536 states
// over 1,134,784 steps. There is no bound on the length of the orders covered,
// and the agent is killed and started again at every point of them.
func TestExploreEveryReachableState(t *testing.T) {
	t.Parallel()
	type node struct {
		w    world
		path string
	}
	seen := map[worldKey]bool{}
	var level []node
	for _, target := range []bool{false, true} {
		w := newWorld(target)
		seen[w.key()] = true
		level = append(level, node{w, fmt.Sprintf("registered(target=%v)", target)})
	}
	steps, depth := 0, 0
	for ; len(level) > 0; depth++ {
		var next []node
		for _, n := range level {
			for _, in := range inputs(n.w.s) {
				steps++
				w, err := n.w.advance(in, epochStart)
				if err != nil {
					t.Fatalf("after %s, %s%+v: %v", n.path, in.Kind(), in, err)
				}
				if k := w.key(); !seen[k] {
					seen[k] = true
					next = append(next, node{w, n.path + ", " + in.Kind().String()})
				}
			}
		}
		level = next
	}
	t.Logf("%d states, the last new one at depth %d, %d steps", len(seen), depth-1, steps)
	const wantStates, wantSteps, wantDepth = 9536, 1134784, 11
	if len(seen) != wantStates || steps != wantSteps || depth-1 != wantDepth {
		t.Errorf("%d states at depth %d over %d steps; update this test's doc and numbers", len(seen), depth-1, steps)
	}
	everyPhase(t, func(p Phase) bool {
		for k := range seen {
			if k.phase == p {
				return true
			}
		}
		return false
	})
}

func everyPhase(t *testing.T, reached func(Phase) bool) {
	t.Helper()
	for p := range Phase(numPhases) {
		if !reached(p) {
			t.Errorf("phase %s was never reached", p)
		}
	}
}

// TestTableIsTotal holds that each input is decided in each phase: acted on, or
// ignored for a reason that is written down.
func TestTableIsTotal(t *testing.T) {
	t.Parallel()
	for p := range Phase(numPhases) {
		for k := range Kind(numKinds) {
			if r := table[p][k]; (r.do == nil) == (r.why == "") {
				t.Errorf("%s in %s: want either an action or a reason to ignore it", k, p)
			}
		}
	}
}
