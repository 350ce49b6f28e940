package e2e

import (
	"syscall"
	"testing"
	"time"
)

// A server that is stopped by a signal answers nothing and does not even die of
// SIGTERM (D, Z).
func TestStopOfAFrozenServer(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.signal("propolis-sim", syscall.SIGSTOP)
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// Even the first process of the zone may be stopped by a signal.
func TestStopOfAFrozenZone(t *testing.T) {
	sees(t)
	l := sharedSled(t)
	v := l.launch()
	for _, p := range processes(v.id.String()) {
		if err := syscall.Kill(p.pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A process that has left its parent and its session dies with the zone (Z, L).
func TestStopFindsEscapedProcesses(t *testing.T) {
	sees(t)
	l := sharedSled(t)
	v := l.launchBorn(lying("escape,ignore-term,stay-stopping"))
	if found := processes(v.id.String()); len(found) < 3 {
		t.Fatalf("want the init, the server and one that escaped, got %v", found)
	}
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// An orderly stop leaves an escaped process no life either.
func TestOrderlyStopFindsEscapedProcesses(t *testing.T) {
	l := sharedSled(t)
	v := l.launchBorn(lying("escape"))
	v.stop(time.Minute)
	v.endsDestroyed()
}

// A stop that Propolis carries out ends when it is done, not at the deadline.
func TestOrderlyStopEndsAtOnce(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	s := v.stop(time.Minute)
	v.removedAtOnce(s.sent)
	v.endsDestroyed()
}

// A server that dies while it is being stopped has stopped: at once, and
// Destroyed (T).
func TestCrashDuringStop(t *testing.T) {
	l := sharedSled(t)
	for name, lies := range map[string][]string{
		"before the request":      {"crash-before-stop"},
		"after the request":       {"crash-on-stop"},
		"in Stopping":             {"crash-in-stopping"},
		"in Stopped":              {"crash-in-stopped"},
		"in Destroyed":            {"crash-in-destroyed"},
		"some time after it lied": {"ignore-stop", "crash-after=700ms"},
		"with status 1":           {"ignore-stop", "exit-after=700ms"},
	} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies(lies...)
			s := v.stop(time.Minute)
			v.removedAtOnce(s.sent)
			v.endsDestroyed()
		})
	}
}

// A VM that is missing while its stop is pending has stopped, too.
func TestVMLostDuringStop(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("stay-stopping")
	s := v.stop(time.Minute)
	v.event("asked")
	v.do("lose-vm")
	v.removedAtOnce(s.sent)
	v.endsDestroyed()
}

// So has one whose zone somebody else has killed.
func TestZoneKilledDuringStop(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("ignore-stop")
	s := v.stop(time.Minute)
	v.event("asked")
	v.l.ground.halt(v)
	v.removedAtOnce(s.sent)
	v.endsDestroyed()
}

// A Propolis that refuses at first is asked again until it stops.
func TestStopIsRepeatedUntilAccepted(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("refuse-stop=503*2")
	s := v.stop(time.Minute)
	v.removedAtOnce(s.sent)
	v.endsDestroyed()
}

// One that fails its VM when told to stop has been told to stop (T).
func TestFailureDuringStopIsDestroyed(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("ignore-stop")
	s := v.stop(time.Minute)
	v.event("asked")
	v.do("fail")
	v.removedAtOnce(s.sent)
	v.endsDestroyed()
}
