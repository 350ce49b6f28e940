package runner

import (
	"testing"

	"github.com/sledagent/sledagent/zone"
)

// handle is a zone whose end is noticed in the moment of its kill.
type handle func()

func (h handle) Kill() bool             { h(); return true }
func (h handle) Ended() <-chan struct{} { return nil }

// The end of a zone that a deadline has killed is the deadline's: what else notices it says
// nothing.
func TestEndByTheKillIsNoHint(t *testing.T) {
	t.Parallel()
	r := &Runner{reports: make(chan report, 1), ended: make(chan struct{})}
	var h zone.Handle = handle(func() { r.zoneChanged(zone.End{How: "signal: killed"}) })
	r.zoneHandle.Store(&h)
	r.zoneChanged(zone.End{How: "before"})
	if m := <-r.reports; m.in == nil {
		t.Error("an end without a kill is no hint")
	}
	if !r.KillNow() || len(r.reports) != 0 {
		t.Errorf("the kill's own end is reported: %+v", <-r.reports)
	}
}
