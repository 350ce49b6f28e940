package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis/sim"
)

// softSetup has servers of Propolis's API 7.
func softSetup() setup {
	return setup{propolis: section{"api_version": "7.0.0"},
		server: []string{program("propolis-sim"), "run", "--api-version", "7.0.0", "{addr}"}}
}

// softly requests a stop or a reboot that gives the guest seconds to shut down.
func (v *vm) softly(state string, seconds int, query string) stop {
	v.t.Helper()
	s := stop{sent: time.Now()}
	body := fmt.Appendf(nil, `{"state":{"type":%q},"acpi_timeout_secs":%d}`, state, seconds)
	got := v.call("PUT", v.path()+"/state?"+query, body).wants(v.t, 200).updated(v.t)
	want := vmm.WireStopping
	if state == "reboot" {
		want = vmm.WireRebooting
	} else {
		v.mayEnd()
	}
	if got == nil || got.VMM.State != want {
		v.t.Errorf("it was answered with %v", got)
	}
	return s
}

// isPending waits until the VMM's Propolis waits for its guest.
func (v *vm) isPending(request string) {
	v.t.Helper()
	waitFor(v.t, func() string {
		var s sim.Status
		if v.control("GET", "state", nil, &s); s.Soft != request {
			return fmt.Sprintf("Propolis waits for %q, not for a %s", s.Soft, request)
		}
		return ""
	})
}

// endsBy checks that the VMM ends Destroyed for this reason. A removal at a deadline begins
// before the VMM's own state says why.
func (v *vm) endsBy(reason string) {
	v.t.Helper()
	v.event("removal")
	waitFor(v.t, func() string {
		if got := v.status().Reason; !strings.Contains(got, reason) {
			return fmt.Sprintf("it ended by %q, not %q", got, reason)
		}
		return ""
	})
	v.endsDestroyed()
}

// far is a soft time, in seconds, that does not pass during a test.
const far = 1800

func TestSoftStop(t *testing.T) {
	h := newHarness(t, softSetup())
	const ordered, late = "Propolis reported it destroyed", "stop deadline passed"
	for name, c := range map[string]struct {
		vmCase
		do func(*vm)
	}{
		"the guest obeys": {faults("obey-after=300ms"), func(v *vm) {
			v.softly("stopped", far, "")
			v.endsBy(ordered)
		}},
		"the guest ignores it": {faults("ignore-button"), func(v *vm) {
			s := v.softly("stopped", 1, "")
			if early := s.sent.Add(time.Second).Sub(v.eventAfter("observed", "Stop", time.Time{}).At); early > 0 {
				v.t.Errorf("Propolis has forced it %s too early", early)
			}
			v.endsBy(ordered)
		}},
		"Propolis hangs": {faults("ignore-button", "hang-soft"), func(v *vm) {
			s := v.softly("stopped", 1, "grace="+grace.String())
			s.grace = grace
			v.removedAtDeadline(s)
			v.endsBy(late)
		}},
		"a hard stop interrupts": {faults("ignore-button", "hang-soft"), func(v *vm) {
			v.softly("stopped", far, "")
			v.isPending("stop")
			v.stop(never)
			v.endsBy(ordered)
		}},
		"a shorter one interrupts": {faults("ignore-button"), func(v *vm) {
			v.softly("stopped", far, "")
			v.isPending("stop")
			v.softly("stopped", 1, "")
			v.endsBy(ordered)
		}},
		"a stop supersedes a soft reboot": {faults("ignore-button", "hang-soft"), func(v *vm) {
			v.softly("reboot", far, "")
			v.isPending("reboot")
			v.stop(never)
			v.endsBy(ordered)
		}},
		"a soft reboot": {faults("obey-after=300ms"), func(v *vm) {
			s := v.softly("reboot", far, "")
			v.eventAfter("observed", "Running", s.sent)
			v.reaches(vmm.WireRunning)
			v.stopAndEnd()
		}},
	} {
		t.Run(name, func(t *testing.T) { c.do(c.launch(h.in(t))) })
	}
}

// The next agent keeps the deadline of a soft stop, and does not press the button again. A hard stop still
// interrupts (D, R).
func TestSoftStopSurvivesTheAgent(t *testing.T) {
	skipWithoutProc(t)
	h := newHarness(t, softSetup())
	hangs, hard := faults("ignore-button", "hang-soft").launch(h), faults("ignore-button", "hang-soft").launch(h)
	s := hangs.softly("stopped", 1, "grace="+(2*longer).String())
	s.grace = 2 * longer
	hard.softly("stopped", far, "")
	for _, v := range []*vm{hangs, hard} {
		waitFor(t, func() string { // An event is shown before it is saved, the status after.
			if stop := v.status().Stop; stop == nil || stop.Acked == nil {
				return "no stop that Propolis has accepted"
			}
			return ""
		})
	}
	before := hard.status()
	h.restart()
	after := hard.status()
	if after.Stop == nil || after.Stop.Soft != before.Stop.Soft || after.Deadline == nil ||
		after.Deadline.Sub(*before.Deadline).Abs() > time.Second {
		t.Errorf("the soft stop was %+v until %v, and is %+v until %v", before.Stop, before.Deadline, after.Stop, after.Deadline)
	}
	if n := hard.calls()["stop"]; n != 1 {
		t.Errorf("Propolis has received %d stops", n)
	}
	hard.stop(never)
	hard.endsDestroyed()
	hangs.removedAtDeadline(s)
	hangs.endsDestroyed()
}
