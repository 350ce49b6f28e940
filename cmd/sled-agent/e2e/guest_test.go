package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// A guest that powers itself off arms the deadline as a stop would, from the
// moment that Propolis speaks of it (D).
func TestGuestPowersOffAndHangs(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"stop_grace": grace.String()}})
	for name, lie := range map[string]string{"in Stopping": "stay-stopping", "in Stopped": "stay-stopped"} {
		t.Run(name, func(t *testing.T) {
			l := l.in(t)
			v := l.launch()
			v.lies(lie)
			s := stop{sent: time.Now(), grace: grace}
			v.do("guest-poweroff")
			s.answered = v.observed("Stopping").At
			v.stopsBy("guest")
			v.removedOnTime(s)
			v.endsDestroyed()
		})
	}
}

// The guest's stop and Nexus's are one; the earlier deadline counts.
func TestStopOfAGuestThatPowersOff(t *testing.T) {
	l := newSled(t, setup{watchdog: section{"stop_grace": grace.String()}})
	v := l.launch()
	v.lies("stay-stopping")
	s := stop{sent: time.Now(), grace: grace}
	v.do("guest-poweroff")
	s.answered = v.observed("Stopping").At
	v.stop(never)
	v.removedOnTime(s)
	v.endsDestroyed()
}

func TestGuestPowersOff(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.do("guest-poweroff")
	v.endsDestroyed()
}

// A guest that reboots itself goes on running.
func TestGuestReboots(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	since := time.Now()
	v.do("guest-reboot")
	// Rebooting itself may pass between two looks of Nexus's, or of the monitor's.
	v.l.past.await(v.t, v.id, trial.Patience, "observed Running again", func(e admin.NamedEvent) bool {
		return e.Kind == "observed" && strings.HasPrefix(e.Text, "Running") && e.At.After(since)
	})
	v.reaches(vmm.WireRunning)
	v.stop(time.Minute)
	v.endsDestroyed()
}

// observed returns the event of Propolis's report of a state.
func (v *vm) observed(state string) admin.NamedEvent {
	v.t.Helper()
	return v.l.past.await(v.t, v.id, trial.Patience, "observed "+state, func(e admin.NamedEvent) bool {
		return e.Kind == "observed" && strings.HasPrefix(e.Text, state)
	})
}

// stopsBy checks that the agent says who asked for the stop and until when it
// waits (S).
func (v *vm) stopsBy(who string) {
	v.t.Helper()
	trial.Until(v.t, 2*time.Second, func() string {
		status := v.status()
		if status.Stop == nil || status.Stop.By != who || status.Deadline == nil || status.DeadlineFor != "stop" {
			return fmt.Sprintf("the status does not tell of a stop by the %s: %+v, deadline %v for %q", who, status.Stop,
				status.Deadline, status.DeadlineFor)
		}
		return ""
	})
}
