package vmm

import (
	"fmt"
	"testing"
)

// worldKey is a world without counters and times: two worlds with the same key behave
// alike.
type worldKey struct {
	phase                 Phase
	wire                  WireState
	in, out               MigrationState
	cold, src             bool
	stop, asked           bool
	acked, disowned       bool
	by                    Who
	short                 int
	armed                 Purpose
	outcome               Outcome
	seen                  PropolisState
	rebooting             bool
	soft, rebootSoft      int
	since                 uint64
	stopped, unregistered bool
	heldReb, heldUn       bool
	starting, unsaved     bool
	unreported, underWay  bool
	wanted, removal, gone int
	fires                 bool
	offering, settled     bool
	bare, errors, unknown bool
	news                  bool
	heldNet               bool
}

func (w world) key() worldKey {
	s, f := w.s, w.s.Flux
	k := worldKey{phase: s.Phase, wire: s.Record.VMM.State, cold: s.Cold, src: s.Src != "",
		disowned: s.Disowned, armed: s.Armed.For, outcome: s.Outcome, seen: s.seen(),
		rebooting: s.Rebooting, stopped: w.stopped, unregistered: w.unregistered,
		heldReb: w.rebooters, heldUn: w.unregisterers, heldNet: w.changers, starting: w.starting, unsaved: w.unsaved,
		unreported: w.unreported, underWay: w.begun > w.gone, wanted: int(w.wanted - w.begun),
		removal: int(f.Removal) - int(w.begun), gone: int(f.Removal) - int(f.Gone), fires: w.armed.For != ForNothing,
		offering: w.offering, settled: f.Settled, news: s.Record.VMM.Gen > s.Acked}
	if s.Phase == Ended {
		k.bare, k.errors, k.unknown = f.Offer.Bare, f.Offer.Errors >= errorsForBare-1, !f.Offer.Unknown.IsZero()
	}
	if m := s.Record.MigrationIn; m != nil {
		k.in = m.State
	}
	if m := s.Record.MigrationOut; m != nil {
		k.out = m.State
	}
	if s.Stop != nil {
		k.stop, k.by, k.asked, k.acked = true, s.Stop.By, s.Stop.Asked, !s.Stop.Acked.IsZero()
		k.short = int(s.Stop.Grace.Seconds())
		if s.Phase == Stopping {
			k.soft = int(s.Stop.Soft.Seconds())
		}
	}
	if s.Rebooting {
		k.rebootSoft = int(s.RebootSoft.Seconds())
	}
	if s.Rebooting && s.Propolis.Gen > s.RebootFrom {
		k.since = min(s.Propolis.Gen-s.RebootFrom, 2)
	}
	return k
}

// seen returns the part of Propolis's last state that the machine uses.
func (s *State) seen() PropolisState {
	switch {
	case s.notYet():
		return PropolisCreating
	case !s.hasRun():
		return PropolisStarting
	case s.Propolis.State.Wire() == WireRunning:
		return PropolisRunning
	}
	return PropolisStopping
}

// TestExploreEveryReachableState visits every state reachable by any order of inputs, from
// both kinds of registration, and verifies every step out of each: requests, reports of
// starts, looks, Propolis and Nexus, the watchdog's firing and its reports in every possible
// order, and a crash of the agent. States differ by everything that affects decisions, so
// the search is finite and the length of the orders is not bounded.
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
			for _, m := range n.w.moves() {
				steps++
				w, err := n.w.take(m, epochStart)
				if err != nil {
					t.Fatalf("after %s, %s%+v: %v", n.path, m, m.in, err)
				}
				if k := w.key(); !seen[k] {
					seen[k] = true
					next = append(next, node{w, n.path + ", " + m.String()})
				}
			}
		}
		level = next
	}
	t.Logf("%d states, the last new one at depth %d, %d steps", len(seen), depth-1, steps)
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

// TestTableIsTotal verifies that each input in each phase is acted on, or ignored for a
// documented reason.
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
