package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestReboot(t *testing.T) {
	v := sharedHarness(t).launch()
	before := v.record().VMM.Gen
	got := v.putState("reboot", "").wants(t, 200).updated(t)
	// It may be over already if this test was delayed for as long as a reboot takes.
	if got == nil || got.VMM.State != vmm.WireRebooting && got.VMM.State != vmm.WireRunning || got.VMM.Gen <= before {
		t.Fatalf("a reboot of generation %d was answered with %v", before, got)
	}
	v.row("running again", func(r nexussim.Row) bool {
		return r.State() == vmm.WireRunning && r.Gen() > got.VMM.Gen
	})
	v.stopAndEnd()
}

// A guest that reboots by itself keeps running.
func TestGuestReboots(t *testing.T) {
	v := sharedHarness(t).launch()
	since := time.Now()
	v.do("guest-reboot")
	// Rebooting itself may pass between two polls of Nexus or the monitor.
	v.eventAfter("observed", "Running", since)
	v.reaches(vmm.WireRunning)
	v.stopAndEnd()
}

func TestGuestPowersOff(t *testing.T) {
	v := sharedHarness(t).launch()
	v.do("guest-poweroff")
	v.endsDestroyed()
}

// stopsBy checks that the agent reports who requested the stop and its deadline (S).
func (v *vm) stopsBy(who string) {
	v.t.Helper()
	waitFor(v.t, func() string {
		status := v.status()
		waits := status.Deadline != nil && status.DeadlineFor == "stop"
		if status.Stop == nil || status.Stop.By != who || !waits && v.count("deadline") == 0 {
			return fmt.Sprintf("the status does not tell of a stop by the %s: %+v, deadline %v for %q", who, status.Stop,
				status.Deadline, status.DeadlineFor)
		}
		return ""
	})
}

// A reboot has a budget. Without a stop it ends Failed.
func TestRebootTimeout(t *testing.T) {
	h := newHarness(t, setup{watchdog: section{"reboot_timeout": grace.String()}})
	for name, reboot := range map[string]func(*vm){
		"by Nexus":     func(v *vm) { v.putState("reboot", "").wants(v.t, 200) },
		"by the guest": func(v *vm) { v.do("guest-reboot"); v.reaches(vmm.WireRebooting) },
	} {
		t.Run(name, func(t *testing.T) {
			v := faults("stay-rebooting").launch(h.in(t))
			budget := stop{sent: time.Now(), grace: grace}
			reboot(v)
			v.removedAtDeadline(budget)
			v.endsFailed()
		})
	}
}

// rebootHangs requests a reboot and waits until Propolis was asked, not until the reboot is over.
func (v *vm) rebootHangs() {
	v.t.Helper()
	ctx := bounded(v.t)
	go func() { _, _ = v.ask(ctx, "PUT", v.path()+"/state", stateBody("reboot")) }()
	waitFor(v.t, func() string {
		if v.calls()["reboot"] == 0 {
			return "Propolis has received no reboot"
		}
		return ""
	})
}

// Propolis's refusal of a reboot is passed on to Nexus, and the VM keeps running. A Propolis without a VM
// is winding down or has lost it: the caller gets the VMM's present state, and the monitor shows which of
// the two it was.
func TestRebootRefused(t *testing.T) {
	h := sharedHarness(t)
	for answered, want := range map[string]int{"403": 403, "400": 400, "503": 503, "500:Internal": 500, "424:NoInstance": 200} {
		t.Run(answered, func(t *testing.T) {
			v := faults("refuse-reboot=" + answered).launch(h.in(t))
			got := v.putState("reboot", "").wants(t, want)
			v.setFaults()
			if got := v.record().VMM.State; got != vmm.WireRunning {
				t.Errorf("after a reboot that was refused, the state is %s", got)
			}
			if want != 200 {
				v.stopAndEnd()
				return
			}
			if u := got.updated(t); u == nil || u.VMM.State != vmm.WireRunning {
				t.Errorf("the reboot was answered with %v", got)
			}
			v.do("lose-vm")
			v.endsFailed()
		})
	}
}

// A VMM without a zone, or one that starts, cannot be rebooted.
func TestRebootOfWhatDoesNotRun(t *testing.T) {
	v := sharedHarness(t).registerWith(withFaults("stay-starting"))
	v.putState("reboot", "").wants(t, 500)
	v.run()
	v.event("run")
	v.observed("Starting")
	v.putState("reboot", "").wants(t, 403)
	v.stop(0)
	v.endsDestroyed()
}
