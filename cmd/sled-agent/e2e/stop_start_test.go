package e2e

import (
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// never is a grace period that no test lives to see the end of.
const never = 30 * time.Minute

// A VMM that was never started has nothing to wait for.
func TestStopOfANeverStartedVMM(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	s := v.stop(never)
	row := v.row(trial.Patience, "ended", func(r nexussim.Row) bool { return r.State().Terminal() })
	v.within(time.Second, "the end was reported", s.answered, row.History[len(row.History)-1].At)
	v.endsDestroyed()
}

// A Propolis that has accepted Run and stays in Starting has a guest to stop.
func TestStopWhileStartingNeverEnds(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	v.born(lying("stay-starting,ignore-stop"))
	v.run()
	v.event("run")
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// Before that there is no guest, so the stop of a start that hangs need not wait
// for the deadline; it must not wait longer either.
func TestStopOfAStuckStart(t *testing.T) {
	l := sharedSled(t)
	for name, start := range map[string]struct{ birth, until string }{
		"the request to make the VM hangs": {lying("hang-ensure"), "zone-booted"},
		"the VM is being made for ever":    {lying("stay-creating"), "zone-booted"},
		"nothing is answered":              {lying("hang-all"), "zone-booted"},
		"nothing is heard":                 {lying("deaf-all"), "zone-booted"},
		"the server does not listen":       {"exec sleep 3600", "zone-booted"},
		"the request to run hangs":         {lying("hang-run,ignore-stop"), "ensured"},
		"the request to run is refused":    {lying("refuse-run=503,ignore-stop"), "ensured"},
		"the zone is not yet made":         {"", "registered"},
	} {
		t.Run(name, func(t *testing.T) {
			v := l.in(t).register()
			v.born(start.birth)
			v.run()
			v.event(start.until)
			s := v.stop(grace)
			v.removedInTime(s)
			v.endsDestroyed()
		})
	}
}

// A stop before the zone could be made ends what the start makes meanwhile.
func TestStopRightAfterRun(t *testing.T) {
	l := sharedSled(t)
	for range 10 {
		v := l.register()
		v.run()
		s := v.stop(grace)
		v.removedInTime(s)
		v.endsDestroyed()
	}
}

// A run after the stop is too late: whatever the VMM was, it is ending.
func TestRunAfterStop(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("ignore-stop")
	s := v.stop(grace)
	if got := v.putState("running", "").wants(t, 410); got.code() != "NO_SUCH_INSTANCE" {
		t.Errorf("got %v, want the code NO_SUCH_INSTANCE", got)
	}
	v.removedOnTime(s)
	v.endsDestroyed()
}
