package e2e

import (
	"slices"
	"testing"
	"time"
)

// A VM outlives its agent, and the next one knows it again (R).
func TestRestartKeepsRunningVM(t *testing.T) {
	sees(t)
	l := newSled(t, setup{})
	v := l.launch()
	before := processes(v.id.String())
	l.restart()
	v.lies("ignore-stop")
	s := v.stop(grace)
	if after := processes(v.id.String()); !slices.Equal(before, after) || len(after) == 0 {
		t.Errorf("the zone's processes were %v and are %v", before, after)
	}
	v.removedOnTime(s)
	v.endsDestroyed()
}

// A stop's deadline outlives the agent that has accepted it (D, R).
func TestRestartKeepsDeadline(t *testing.T) {
	l := newSled(t, setup{})
	v := l.launch()
	v.lies("ignore-stop")
	s := v.stop(4 * time.Second)
	l.restart()
	v.removedOnTime(s)
	v.endsDestroyed()
}
