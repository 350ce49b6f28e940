package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// An unexpected death is Failed (T).
func TestUnexpectedDeaths(t *testing.T) {
	h := sharedHarness(t)
	for name, c := range map[string]vmCase{
		"the server crashes":      {do: func(v *vm) { v.do("crash") }},
		"the server exits":        {do: func(v *vm) { v.do("exit") }},
		"the server is killed":    {do: func(v *vm) { v.signal("propolis-sim", syscall.SIGKILL) }},
		"the zone is halted":      {do: func(v *vm) { v.backend.halt(v) }},
		"the server loses its VM": {do: func(v *vm) { v.do("lose-vm") }},
		"the VM fails":            {do: func(v *vm) { v.do("fail") }},
		"it crashes rebooting":    {faults: []string{"crash-in-rebooting"}, do: func(v *vm) { v.do("guest-reboot") }},
	} {
		t.Run(name, func(t *testing.T) { c.launch(h.in(t)).endsFailed() })
	}
}

// A failed start is Failed and leaves nothing (L). SMF restarts a server that has ended a few times
// before it gives up.
func TestStartsThatFail(t *testing.T) {
	h := newHarness(t, setup{})
	for name, script := range map[string]string{
		"the VM is refused with 400":       withFaults("refuse-ensure=400"),
		"the VM is refused with 500":       withFaults("refuse-ensure=500:Internal"),
		"the VM cannot be made":            withFaults("fail-create"),
		"the VM cannot be started":         withFaults("fail-start"),
		"the server crashes, asked for it": withFaults("crash-before-ensure"),
		"the server crashes with it":       withFaults("crash-in-creating"),
		"the server crashes at Run":        withFaults("crash-before-run"),
		"the server crashes in Starting":   withFaults("crash-in-starting"),
		"the server is of another version": "flags='--api-version 5.0.0'",
		"the server exits":                 "exit 0",
		"the server is killed":             "kill -9 $$",
		"the server's program is missing":  "exec no-such-program-anywhere",
		"the server says why":              `echo no memory for "$addr" today >&2; exit 3`,
	} {
		t.Run(name, func(t *testing.T) {
			v := h.in(t).registerWith(script)
			v.run()
			v.endsFailed()
			if strings.HasPrefix(script, "echo") {
				v.hasEvidence("no memory for " + v.serverAddr.String() + " today")
			}
		})
	}
}

// hasEvidence checks that the server's last output is kept in the VMM's events (E).
func (v *vm) hasEvidence(words string) {
	v.t.Helper()
	if all := listed(v.history()); !strings.Contains(all, words) {
		v.t.Errorf("what the server has written is in none of the events:%s", all)
	}
}

// The same for a program that does not exist or cannot be executed.
func TestStartsWithoutAProgram(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"no-such-program-anywhere", "/etc/hostname", "/"} {
		t.Run(path, func(t *testing.T) {
			v := newHarness(t, setup{server: []string{path}}).register()
			v.run()
			v.endsFailed()
		})
	}
}

// The start budget applies to whatever the start waits for.
func TestStartTimeout(t *testing.T) {
	h := newHarness(t, setup{watchdog: section{"start_timeout": grace.String()}})
	for name, script := range map[string]string{
		"the request hangs":          withFaults("hang-ensure"),
		"the server does not listen": noServer,
		"everything hangs":           withFaults("hang-all"),
		"it stays in Starting":       withFaults("stay-starting"),
	} {
		t.Run(name, func(t *testing.T) {
			v := h.in(t).registerWith(script)
			budget := stop{sent: time.Now(), grace: grace}
			v.run()
			v.removedAtDeadline(budget)
			v.endsFailed()
		})
	}
}

// The budget ends with the start and does not affect a running VM.
func TestStartTimeoutSparesWhatRuns(t *testing.T) {
	skipWithoutProc(t)
	v := newHarness(t, setup{watchdog: section{"start_timeout": startTime().String()}}).launch()
	pause(time.Until(v.event("start").At.Add(startTime() + 500*time.Millisecond)))
	v.record()
	if v.count("removal") != 0 || len(processes(v.id.String())) == 0 {
		t.Error("a VM that ran was removed")
	}
	v.stopAndEnd()
}

// A stop during a start has its own deadline and ends Destroyed (T), even if its grace outlasts the
// start's budget.
func TestStopWithinStartTimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ budget, grace time.Duration }{
		"before it": {startTime(), grace},
		"after it":  {startTime() / 2, startTime()},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, setup{watchdog: section{"start_timeout": c.budget.String()}})
			v := h.registerWith(withFaults("stay-starting", "ignore-stop"))
			v.run()
			v.event("run")
			s := v.stop(c.grace)
			if c.grace < c.budget {
				v.removedAtDeadline(s)
			}
			v.endsDestroyed()
		})
	}
}

// serverBeside is a shell line for a server whose end does not end the zone.
const serverBeside = `"$sim" run "$addr" & exec sleep 3600`

// A server that refuses connections while its zone runs counts as gone after GoneAfter.
func TestServerGoneFromARunningZone(t *testing.T) {
	v := newHarness(t, setup{propolis: section{"gone_after": "1s"}}).launchWith(serverBeside)
	died := time.Now()
	v.signal("propolis-sim", syscall.SIGKILL)
	v.endsFailed()
	if took := v.event("removal").At.Sub(died); took < time.Second {
		t.Errorf("given up on after %v, want a second at least", took)
	}
}

// With a pending stop the same ends Destroyed, at the deadline at the latest.
func TestServerGoneDuringStop(t *testing.T) {
	v := vmCase{script: serverBeside, faults: []string{"ignore-stop"}}.launch(sharedHarness(t))
	v.stop(2 * longer)
	v.event("asked")
	v.signal("propolis-sim", syscall.SIGKILL)
	v.endsDestroyed()
}

// A server that accepts connections and never answers is not ended before a stop: its guest may be
// fine.
func TestSilentServerIsLeftAlone(t *testing.T) {
	h := newHarness(t, setup{propolis: section{"gone_after": "1s", "request_timeout": "500ms"}})
	v := faults("hang-all").launch(h)
	pause(3 * time.Second)
	if got := v.record().VMM.State; got != "running" || v.count("removal") > 0 {
		t.Errorf("the state is %s", got)
	}
	v.stopsAtDeadline(grace)
}
