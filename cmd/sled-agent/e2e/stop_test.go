package e2e

import (
	"syscall"
	"testing"
	"time"
)

// A vmCase is a VMM whose server or guest misbehaves, or to which something is done.
type vmCase struct {
	// script is the shell line that runs before the server.
	script string
	// faults are set once the VM runs.
	faults []string
	// do is called then.
	do func(*vm)
}

func faults(modes ...string) vmCase { return vmCase{faults: modes} }

// launch launches the VMM and starts the case.
func (c vmCase) launch(h *harness) *vm {
	h.t.Helper()
	v := h.registerWith(c.script).launch()
	if c.faults != nil {
		v.setFaults(c.faults...)
	}
	if c.do != nil {
		c.do(v)
	}
	return v
}

// Whatever Propolis answers to a stop or does instead of stopping, and whatever state its processes are in,
// the zone is removed at the deadline and the VMM ends Destroyed (D, Z, T).
func TestStopEndsAtTheDeadline(t *testing.T) {
	h := sharedHarness(t)
	for name, c := range map[string]vmCase{
		"accepts and does nothing":            faults("ignore-stop"),
		"stays Stopping":                      faults("stay-stopping"),
		"stays Stopped":                       faults("stay-stopped"),
		"never answers the request":           faults("hang-stop"),
		"reads the request's headers only":    faults("deaf-stop"),
		"stops halfway and never answers":     faults("mute-stop", "stay-stopping"),
		"sends half an answer":                faults("half-stop", "stay-stopping"),
		"sends the answer byte by byte":       faults("trickle-stop=30s", "stay-stopping"),
		"resets the connection":               faults("reset-stop"),
		"answers with rubbish":                faults("garbage-stop", "stay-stopping"),
		"answers in no known protocol":        faults("babble-stop", "stay-stopping"),
		"answers without an end":              faults("flood-stop", "stay-stopping"),
		"refuses with 400":                    faults("refuse-stop=400"),
		"refuses with 403":                    faults("refuse-stop=403"),
		"refuses with 404":                    faults("refuse-stop=404"),
		"refuses with 409":                    faults("refuse-stop=409:AlreadyRunning"),
		"refuses with 424":                    faults("refuse-stop=424:NoInstance"),
		"refuses with 500":                    faults("refuse-stop=500:Internal"),
		"refuses with 503":                    faults("refuse-stop=503"),
		"refuses everything":                  faults("storm"),
		"never answers anything":              faults("hang-all"),
		"reads nothing":                       faults("deaf-all"),
		"accepts, and its monitor hangs":      faults("ignore-stop", "hang-monitor"),
		"accepts, and its monitor trickles":   faults("ignore-stop", "trickle-monitor=30s"),
		"accepts, and its monitor has no end": faults("ignore-stop", "flood-monitor"),
		"lets generations fall":               faults("stay-stopping", "backwards"),
		"closes the connection each time":     faults("reset-all"),
		// It does not answer and does not end by SIGTERM.
		"is stopped by a signal":     {do: func(v *vm) { v.signal("propolis-sim", syscall.SIGSTOP) }},
		"with its zone, by a signal": {do: func(v *vm) { v.signal("", syscall.SIGSTOP) }},
		// A process that has left its parent and its session ends with the zone (L).
		"has a process that has left": {script: withFaults("escape", "ignore-term", "stay-stopping"), do: func(v *vm) {
			if found := processes(v.id.String()); len(found) < 3 {
				v.t.Fatalf("want the init, the server and one that has left, got %v", found)
			}
		}},
		// Its guest reboots.
		"stays in Rebooting":       {faults: []string{"stay-rebooting", "ignore-stop"}, do: (*vm).rebootHangs},
		"never answers the reboot": {faults: []string{"hang-reboot", "hang-stop"}, do: (*vm).rebootHangs},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "has a process that has left" {
				skipWithoutProc(t)
			}
			c.launch(h.in(t)).stopsAtDeadline(grace)
		})
	}
}

// If Propolis ends the VM or loses it while a stop is pending, the stop ends at once, with Destroyed (T).
func TestStopEndsAtOnce(t *testing.T) {
	h := sharedHarness(t)
	for name, c := range map[string]struct {
		vmCase
		// then is called once Propolis was asked to stop.
		then func(*vm)
	}{
		"in an orderly way":              {},
		"with a process that has left":   {vmCase: vmCase{script: withFaults("escape")}},
		"refused twice at first":         {vmCase: faults("refuse-stop=503*2")},
		"crashed before the request":     {vmCase: faults("crash-before-stop")},
		"crashed after the request":      {vmCase: faults("crash-on-stop")},
		"crashed in Stopping":            {vmCase: faults("crash-in-stopping")},
		"crashed in Stopped":             {vmCase: faults("crash-in-stopped")},
		"crashed in Destroyed":           {vmCase: faults("crash-in-destroyed")},
		"crashed some time after":        {vmCase: faults("ignore-stop", "crash-after=700ms")},
		"exited with status 1":           {vmCase: faults("ignore-stop", "exit-after=700ms")},
		"the server has lost its VM":     {faults("stay-stopping"), func(v *vm) { v.do("lose-vm") }},
		"the zone was halted by another": {faults("ignore-stop"), func(v *vm) { v.backend.halt(v) }},
		"the VM has failed":              {faults("ignore-stop"), func(v *vm) { v.do("fail") }},
	} {
		t.Run(name, func(t *testing.T) {
			v := c.launch(h.in(t))
			v.stop(never)
			if c.then != nil {
				v.event("asked")
				c.then(v)
			}
			v.endsDestroyed()
		})
	}
}

// A VMM that was never started ends at once.
func TestStopOfANeverStartedVMM(t *testing.T) {
	sharedHarness(t).register().stopAndEnd()
}

// A Propolis that has accepted Run and stays in Starting has a guest to stop. If its generations fall, a
// monitor call for the next one does not return.
func TestStopWhileStartingNeverEnds(t *testing.T) {
	h := sharedHarness(t)
	for _, fault := range []string{"stay-starting", "backwards"} {
		t.Run(fault, func(t *testing.T) {
			v := h.in(t).registerWith(withFaults(fault, "ignore-stop"))
			v.run()
			v.event("run")
			v.stopsAtDeadline(grace)
		})
	}
}

// Before that there is no guest, so the stop of a hanging start may end before the deadline. It must not end
// after it.
func TestStopOfAStuckStart(t *testing.T) {
	h := sharedHarness(t)
	for name, start := range map[string]struct{ script, until string }{
		"the request to make the VM hangs": {withFaults("hang-ensure"), "zone-booted"},
		"the VM is never made":             {withFaults("stay-creating"), "zone-booted"},
		"nothing is answered":              {withFaults("hang-all"), "zone-booted"},
		"nothing is read":                  {withFaults("deaf-all"), "zone-booted"},
		"the server does not listen":       {noServer, "zone-booted"},
		"the request to run hangs":         {withFaults("hang-run", "ignore-stop"), "ensured"},
		"the request to run is refused":    {withFaults("refuse-run=503", "ignore-stop"), "ensured"},
		"the zone is not yet made":         {"", "registered"},
	} {
		t.Run(name, func(t *testing.T) {
			v := h.in(t).registerWith(start.script)
			v.run()
			v.event(start.until)
			v.stop(grace)
			v.endsDestroyed()
		})
	}
}

// A stop before the zone was made ends the zone that the start makes meanwhile.
func TestStopRightAfterRun(t *testing.T) {
	h := sharedHarness(t)
	for range 10 {
		v := h.register()
		v.run()
		v.stop(grace)
		v.endsDestroyed()
	}
}

// After a stop the VMM is ending: a run is too late, and a reboot is impossible.
func TestRunAfterStop(t *testing.T) {
	v := faults("ignore-stop").launch(sharedHarness(t))
	s := v.stop(longer)
	if got := v.putState("running", "").wants(t, 410); got.code() != "NO_SUCH_INSTANCE" {
		t.Errorf("got %v, want the code NO_SUCH_INSTANCE", got)
	}
	if got := v.putState("reboot", ""); got.status != 403 && got.status != 410 {
		t.Errorf("a reboot of a VMM that is stopping was answered with %v", got)
	}
	v.removedAtDeadline(s)
	v.endsDestroyed()
}

// The guest's stop and Nexus's are one; the earlier deadline counts. A guest that powers itself off starts a
// grace period when Propolis reports it (D).
func TestGuestPowersOffAndHangs(t *testing.T) {
	h := newHarness(t, setup{watchdog: section{"stop_grace": longer.String()}})
	for name, c := range map[string]struct {
		fault string
		stop  bool
	}{"in Stopping": {"stay-stopping", false}, "in Stopped": {"stay-stopped", false}, "and is stopped": {"stay-stopping", true}} {
		t.Run(name, func(t *testing.T) {
			v := faults(c.fault).launch(h.in(t))
			s := stop{sent: time.Now(), grace: longer}
			v.do("guest-poweroff")
			if c.stop {
				v.observed("Stopping")
				v.stop(never)
			} else {
				v.stopsBy("guest")
			}
			v.removedAtDeadline(s)
			v.endsDestroyed()
		})
	}
}
