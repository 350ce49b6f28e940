package e2e

import (
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

func TestReboot(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	before := record(t, v.state().body).VMM.Gen
	got := v.putState("reboot", "").wants(t, 200).updated(t)
	// It is over already if this test was held up for as long as a reboot takes.
	if got == nil || got.VMM.State != vmm.WireRebooting && got.VMM.State != vmm.WireRunning || got.VMM.Gen <= before {
		t.Errorf("a reboot of generation %d was answered with %v", before, got)
	}
	v.row(trial.Patience, "running again", func(r nexussim.Row) bool {
		return r.State() == vmm.WireRunning && r.Gen() > got.VMM.Gen
	})
	v.stop(time.Minute)
	v.endsDestroyed()
}

// A reboot has a budget, and one that nobody was told to stop ends Failed.
func TestRebootTimeout(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"reboot_timeout": grace.String()}})
	for name, reboot := range map[string]func(*vm){
		"by Nexus":     func(v *vm) { v.putState("reboot", "").wants(v.t, 200) },
		"by the guest": func(v *vm) { v.do("guest-reboot"); v.reaches(vmm.WireRebooting) },
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies("stay-rebooting")
			budget := stop{sent: time.Now(), grace: grace}
			reboot(v)
			budget.answered = time.Now()
			v.removedOnTime(budget)
			v.endsFailed()
		})
	}
}

// A stop of a reboot that hangs is a stop like any other.
func TestStopOfAStuckReboot(t *testing.T) {
	l := sharedSled(t)
	for name, lies := range map[string][]string{
		"stays in Rebooting": {"stay-rebooting", "ignore-stop"},
		"never answers":      {"hang-reboot", "hang-stop"},
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies(lies...)
			go func() {
				_, _ = l.ask(trial.Bounded(t, trial.Patience), "PUT", v.path()+"/state", target2body("reboot"))
			}()
			trial.Until(t, trial.Patience, func() string {
				if v.calls()["reboot"] == 0 {
					return "Propolis has heard of no reboot"
				}
				return ""
			})
			s := v.stop(grace)
			v.removedOnTime(s)
			v.endsDestroyed()
		})
	}
}

// What Propolis says to a reboot is said to Nexus.
func TestRebootRefused(t *testing.T) {
	l := sharedSled(t)
	for name, c := range map[string]struct {
		lie  string
		want int
	}{
		"forbidden":   {"refuse-reboot=403", 403},
		"bad request": {"refuse-reboot=400", 400},
		"busy":        {"refuse-reboot=503", 503},
		"broken":      {"refuse-reboot=500:Internal", 500},
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies(c.lie)
			v.putState("reboot", "").wants(t, c.want)
			v.lies()
			if got := record(t, v.state().wants(t, 200).body).VMM.State; got != vmm.WireRunning {
				t.Errorf("after a reboot that was refused, the state is %s", got)
			}
			v.stop(time.Minute)
			v.endsDestroyed()
		})
	}
}

func TestRebootWhileStarting(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	v.born(lying("stay-starting"))
	v.run()
	v.event("run")
	v.observed("Starting")
	v.putState("reboot", "").wants(t, 403)
	s := v.stop(0)
	v.removedInTime(s)
	v.endsDestroyed()
}

// A VMM without a zone has nothing to reboot; nor has one that is on its way out.
func TestRebootOfWhatDoesNotRun(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	v.putState("reboot", "").wants(t, 500)
	v.run()
	v.reaches(vmm.WireRunning)
	v.lies("ignore-stop")
	s := v.stop(grace)
	if got := v.putState("reboot", ""); got.status != 403 && got.status != 410 {
		t.Errorf("a reboot of a VMM that is stopping was answered with %v", got)
	}
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A Propolis that has no VM to reboot is winding down, or has lost it. The
// caller is told the VMM's state as it is, and the monitor says which it was.
func TestRebootOfALostVM(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("refuse-reboot=424:NoInstance")
	if got := v.putState("reboot", "").wants(t, 200).updated(t); got == nil || got.VMM.State != vmm.WireRunning {
		t.Errorf("the reboot was answered with %v", got)
	}
	v.do("lose-vm")
	v.endsFailed()
}
