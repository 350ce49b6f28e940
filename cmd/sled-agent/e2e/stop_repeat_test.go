package e2e

import (
	"sync"
	"testing"
	"time"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// Twenty stops at the same time all succeed, and none of them moves the deadline
// of the first.
func TestConcurrentStopsOfOneVMM(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("ignore-stop")
	first := v.stop(grace)
	var wg sync.WaitGroup
	for i := range 20 {
		query := [...]string{"", "grace=1m", "grace=" + never.String()}[i%3]
		wg.Go(func() {
			got, err := l.ask(trial.Bounded(t, trial.Patience), "PUT", v.path()+"/state?"+query, target2body("stopped"))
			if err != nil || got.status != 200 {
				t.Errorf("a concurrent stop: %v, %v", got, err)
			}
			if got.took > stateAnswer {
				t.Errorf("a concurrent stop was answered after %v", got.took)
			}
		})
	}
	wg.Wait()
	v.removedOnTime(first)
	v.endsDestroyed()
}

// Twenty first stops at once are one stop.
func TestFirstStopsAtOnce(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("hang-stop")
	s := stop{sent: time.Now(), grace: grace}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := l.ask(trial.Bounded(t, trial.Patience), "PUT", v.path()+"/state?grace="+grace.String(), target2body("stopped"))
			if err != nil || got.status != 200 {
				t.Errorf("one of the stops: %v, %v", got, err)
			}
		})
	}
	wg.Wait()
	s.answered = time.Now()
	v.removedOnTime(s)
	v.endsDestroyed()
}

func TestRepeatedStopShortens(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("ignore-stop")
	v.stop(never)
	v.event("asked")
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}

func TestRepeatedStopNeverExtends(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("ignore-stop")
	s := v.stop(grace)
	v.stop(never)
	v.event("asked")
	v.stop(grace)
	v.putState("stopped", "").wants(t, 200)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A VMM that has ended, and Nexus does not know it yet, stays as it ended
// however often it is stopped, and in whatever way it ended.
func TestStopAfterTheEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		by   func(*vm)
		want string
	}{
		"Destroyed": {func(v *vm) { v.stop(0) }, "destroyed"},
		"Failed":    {func(v *vm) { v.do("crash") }, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newSled(t, setup{})
			v := l.launch()
			l.nexus.fault("status=503")
			end.by(v)
			trial.Until(t, trial.Patience, func() string {
				if got := record(t, v.state().wants(t, 200).body).VMM.State; string(got) != end.want {
					return "the state is " + string(got)
				}
				return ""
			})
			for range 3 {
				got := v.putState("stopped", "grace=1s").wants(t, 200).updated(t)
				if got == nil || string(got.VMM.State) != end.want {
					t.Errorf("a stop after the end was answered with %v", got)
				}
			}
			l.nexus.heal()
			v.ends(vmmState(end.want))
		})
	}
}
