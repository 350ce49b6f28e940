package e2e

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// slack is what promise D allows a removal to begin after the deadline.
const slack = time.Second

// removedOnTime checks that the zone's removal began at the stop's deadline: not
// before it, and no later than the slack allows.
func (v *vm) removedOnTime(s stop) {
	v.t.Helper()
	began := v.event("removal").At
	if early := s.sent.Add(s.grace).Sub(began); early > 0 {
		v.t.Errorf("the removal began %v before the deadline", early)
	}
	v.removedInTime(s)
}

// removedInTime checks that the zone's removal began at the stop's deadline or
// before it.
func (v *vm) removedInTime(s stop) {
	v.t.Helper()
	deadline := s.answered.Add(s.grace)
	v.within(slack, "the removal began", deadline, v.event("removal").At)
}

// within checks that something came soon after a moment.
func (v *vm) within(allowed time.Duration, what string, since, at time.Time) {
	v.t.Helper()
	took := trial.Own(since, at)
	v.t.Logf("%s after %d ms", what, took.Milliseconds())
	if took > allowed {
		v.t.Errorf("%s after %v, want %v at most", what, took, allowed)
	}
}

// vmmState is a state of the wire by its name.
func vmmState(name string) vmm.WireState { return vmm.WireState(name) }

func (v *vm) endsDestroyed() { v.t.Helper(); v.ends(vmm.WireDestroyed) }
func (v *vm) endsFailed()    { v.t.Helper(); v.ends(vmm.WireFailed) }

// ends waits until Nexus has acknowledged the VMM's end in this state and checks
// all that is promised of an end (T, N, L).
func (v *vm) ends(state vmm.WireState) {
	v.t.Helper()
	row := v.row(trial.Patience, "ended", func(r nexussim.Row) bool { return r.State().Terminal() && r.Acked >= r.Gen() })
	if row.State() != state {
		v.t.Errorf("the VMM ended %s, want %s", row.State(), state)
	}
	v.toldTruly(row)
	v.forgotten()
}

// forgotten waits until the agent no longer knows the VMM, and checks that it is
// right (N, L).
func (v *vm) forgotten() {
	v.t.Helper()
	trial.Until(v.t, trial.Patience, func() string {
		if got := v.state(); got.status != http.StatusNotFound || got.code() != "NO_SUCH_INSTANCE" {
			return fmt.Sprintf("Nexus has acknowledged the end and the state is answered with %v", got)
		}
		return ""
	})
	v.gone()
	v.over = true
}

// toldTruly checks that the states Nexus has heard go together.
func (v *vm) toldTruly(row nexussim.Row) {
	v.t.Helper()
	ends, last := 0, uint64(0)
	for _, seen := range row.History {
		if seen.Gen <= last {
			v.t.Errorf("generations do not rise: %s", describe(row))
		}
		last = seen.Gen
		if seen.State.Terminal() {
			ends++
		}
	}
	if ends != 1 {
		v.t.Errorf("there were %d terminal states: %s", ends, describe(row))
	}
}

// gone checks that nothing is left of the VMM's zone (L).
func (v *vm) gone() {
	v.t.Helper()
	trial.Until(v.t, 10*time.Second, func() string {
		if left := v.l.ground.of(v.id); len(left) > 0 {
			return fmt.Sprintf("there is %q", left)
		}
		return ""
	})
}

// failedWithin is how soon the agent must notice that a VM has died.
const failedWithin = 5 * time.Second

// removedAtOnce checks that the zone's removal began soon after a moment, and not
// at some deadline.
func (v *vm) removedAtOnce(since time.Time) {
	v.t.Helper()
	v.within(failedWithin, "the removal began", since, v.event("removal").At)
}
