package e2e

import (
	"net/url"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// No grace: the removal begins at once, although Propolis would have stopped.
func TestZeroGrace(t *testing.T) {
	l := sharedSled(t)
	v := l.launchBorn("flags='--stop-time 1h'")
	s := v.stop(0)
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A grace period beyond the configured maximum is that maximum.
func TestGraceIsClamped(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"max_stop_grace": "1s", "stop_grace": "1s"}})
	for _, asked := range []string{"1h", "2s", "2562047h47m16.854775807s"} {
		t.Run(asked, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies("ignore-stop")
			s := stop{sent: time.Now(), grace: time.Second}
			v.putState("stopped", "grace="+url.QueryEscape(asked)).wants(t, 200)
			s.answered = time.Now()
			v.removedOnTime(s)
			v.endsDestroyed()
		})
	}
}

// Without a grace of its own, a stop has the configured one.
func TestDefaultGrace(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"stop_grace": "1s"}})
	v := l.launch()
	v.lies("ignore-stop")
	s := stop{sent: time.Now(), grace: time.Second}
	v.putState("stopped", "").wants(t, 200)
	s.answered = time.Now()
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A grace that cannot be understood changes nothing: the VM runs on.
func TestBadGraceChangesNothing(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	before := record(t, v.state().body)
	for _, query := range []string{"grace=", "grace=-1s", "grace=-1ns", "grace=10", "grace=ten", "grace=1d", "grace=NaN",
		"grace=9223372036854775808ns", "grace=2562048h", "grace=1e9s", "grace=1s&grace=2s", "grace=%zz", "grace=1s;",
		"grace=%00", "grace=5s%20", "grace=+5s%0a", "grace=0x10s", "grace=9999999999999999999999999999h"} {
		if got := v.putState("stopped", query); got.status != 400 {
			t.Errorf("%s: got %v, want status 400", query, got)
		}
	}
	after := record(t, v.state().body)
	if *before != *after || after.VMM.State != vmm.WireRunning {
		t.Errorf("the VM was %v and is %v", before, after)
	}
	if n := v.count("stop"); n != 0 || v.calls()["stop"] != 0 {
		t.Errorf("there were %d stops, and Propolis heard of %d", n, v.calls()["stop"])
	}
	v.stop(time.Minute)
	v.endsDestroyed()
}
