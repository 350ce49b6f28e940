package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// A death that nobody asked for is Failed, and soon (T).
func TestDeathsNobodyAskedFor(t *testing.T) {
	l := sharedSled(t)
	for name, death := range map[string]func(*vm){
		"the server crashes":      func(v *vm) { v.do("crash") },
		"the server exits":        func(v *vm) { v.do("exit") },
		"the server is killed":    func(v *vm) { v.signal("propolis-sim", syscall.SIGKILL) },
		"the zone is killed":      func(v *vm) { v.l.ground.halt(v) },
		"the server loses its VM": func(v *vm) { v.do("lose-vm") },
		"the VM fails":            func(v *vm) { v.do("fail") },
		"it crashes rebooting": func(v *vm) {
			v.lies("crash-in-rebooting")
			v.do("guest-reboot")
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			died := time.Now()
			death(v)
			v.failedSince(died)
		})
	}
}

// failedSince checks that the VMM is reported Failed soon after a moment.
func (v *vm) failedSince(died time.Time) {
	v.t.Helper()
	v.endsFailed()
	v.reportedWithin(failedWithin, died)
}

func (v *vm) reportedWithin(allowed time.Duration, since time.Time) {
	v.t.Helper()
	row, _ := v.l.nexus.Row(v.id)
	v.within(allowed, "the end was reported", since, row.History[len(row.History)-1].At)
}

// A start that fails is Failed, and nothing is left of it (L).
func TestStartsThatFail(t *testing.T) {
	l := sharedSled(t)
	for name, birth := range map[string]string{
		"the VM is refused with 400":       lying("refuse-ensure=400"),
		"the VM is refused with 500":       lying("refuse-ensure=500:Internal"),
		"the VM cannot be made":            lying("fail-create"),
		"the VM cannot be started":         lying("fail-start"),
		"the server crashes, asked for it": lying("crash-before-ensure"),
		"the server crashes with it":       lying("crash-in-creating"),
		"the server crashes at Run":        lying("crash-before-run"),
		"the server crashes in Starting":   lying("crash-in-starting"),
		"the server is of another version": "flags='--api-version 5.0.0'",
	} {
		t.Run(name, func(t *testing.T) {
			v := l.in(t).register()
			v.born(birth)
			began := time.Now()
			v.run()
			v.failedSince(began)
		})
	}
}

// So is that of a server that does not live to serve. SMF, if it runs the server,
// starts it again a few times before it gives up.
func TestServersThatEndAtOnce(t *testing.T) {
	l := newSled(t, setup{})
	for name, birth := range map[string]string{
		"by themselves":           "exit 0",
		"killed":                  "kill -9 $$",
		"for want of the program": "exec no-such-program-anywhere",
		"with last words":         `echo no memory for "$addr" today >&2; exit 3`,
	} {
		t.Run(name, func(t *testing.T) {
			v := l.in(t).register()
			v.born(birth)
			began := time.Now()
			v.run()
			v.endsFailed()
			v.reportedWithin(failedWithin, began)
			if strings.HasPrefix(birth, "echo") {
				v.hasSaid("no memory for " + v.addr.String() + " today")
			}
		})
	}
}

// hasSaid checks that the server's last words are kept where people look (E).
func (v *vm) hasSaid(words string) {
	v.t.Helper()
	events, _ := v.l.past.of(v.id)
	for _, e := range events {
		if strings.Contains(e.Text+e.Error, words) {
			return
		}
	}
	v.t.Errorf("the server's last words are in none of the events:%s", listed(events))
}

// So is the start of a program that is not there, or that is none.
func TestStartsWithoutAProgram(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"no-such-program-anywhere", "/etc/hostname", "/"} {
		t.Run(path, func(t *testing.T) {
			l := newSled(t, setup{server: []string{path}})
			v := l.register()
			began := time.Now()
			v.run()
			v.failedSince(began)
		})
	}
}

// A start has a budget, whatever it waits for.
func TestStartTimeout(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"start_timeout": grace.String()}})
	for name, birth := range map[string]string{
		"the request hangs":          lying("hang-ensure"),
		"the server does not listen": "exec sleep 3600",
		"everything hangs":           lying("hang-all"),
		"it stays in Starting":       lying("stay-starting"),
	} {
		t.Run(name, func(t *testing.T) {
			v := l.in(t).register()
			v.born(birth)
			budget := stop{sent: time.Now(), grace: grace}
			v.run()
			budget.answered = time.Now()
			v.removedOnTime(budget)
			v.endsFailed()
		})
	}
}

// The budget ends with the start: a VM that runs is not touched by it.
func TestStartTimeoutSparesWhatRuns(t *testing.T) {
	sees(t)
	l := newSled(t, setup{watchdog: section{"start_timeout": starting().String()}})
	v := l.launch()
	began := v.event("start").At
	pace(time.Until(began.Add(starting()+500*time.Millisecond)), 50*time.Millisecond, func() bool { return true })
	v.state().wants(t, 200)
	if v.count("removal") != 0 || len(processes(v.id.String())) == 0 {
		t.Error("a VM that ran was removed")
	}
	v.stop(time.Minute)
	v.endsDestroyed()
}

// A stop while a start's budget runs has its own deadline and ends Destroyed (T).
func TestStopBeatsStartTimeout(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"start_timeout": starting().String()}})
	v := l.register()
	v.born(lying("stay-starting,ignore-stop"))
	v.run()
	v.event("run")
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A stop's grace that outlasts the start's budget is the stop's own: the VMM ends
// Destroyed however late.
func TestStopOutlastsStartTimeout(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"start_timeout": (starting() / 2).String()}})
	v := l.register()
	v.born(lying("stay-starting,ignore-stop"))
	v.run()
	v.event("run")
	s := v.stop(starting())
	v.removedInTime(s)
	v.endsDestroyed()
}

// servesBeside is how a server is born whose end does not end the zone.
const servesBeside = `"$sim" run "$addr" & exec sleep 3600`

// A server that refuses connections while its zone runs is gone, after a while.
func TestServerGoneFromARunningZone(t *testing.T) {
	l := newSled(t, setup{propolis: section{"gone_after": "1s"}})
	v := l.launchBorn(servesBeside)
	died := time.Now()
	v.signal("propolis-sim", syscall.SIGKILL)
	v.failedSince(died)
	if took := v.event("removal").At.Sub(died); took < 900*time.Millisecond {
		t.Errorf("given up on after %v, want a second at least", took)
	}
}

// The same with a stop pending ends Destroyed, at the deadline at the latest.
func TestServerGoneDuringStop(t *testing.T) {
	l := sharedSled(t)
	v := l.launchBorn(servesBeside)
	v.lies("ignore-stop")
	s := v.stop(grace)
	v.event("asked")
	v.signal("propolis-sim", syscall.SIGKILL)
	v.removedInTime(s)
	v.endsDestroyed()
}

// A server that accepts and never answers is left alone until somebody stops it:
// its guest may be fine.
func TestSilentServerIsLeftAlone(t *testing.T) {
	l := newSled(t, setup{propolis: section{"gone_after": "1s", "request_timeout": "500ms"}})
	v := l.launch()
	v.lies("hang-all")
	pace(3*time.Second, 50*time.Millisecond, func() bool { return v.count("removal") == 0 })
	if got := record(t, v.state().wants(t, 200).body).VMM.State; got != "running" {
		t.Errorf("the state is %s", got)
	}
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}
