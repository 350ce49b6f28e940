package agent_test

import (
	"io"
	"log"
	"syscall"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/propolis/sim"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

type zoneInfo = zone.Info

var (
	errRefused = syscall.ECONNREFUSED
	quiet      = log.New(io.Discard, "", 0)
)

func d(d time.Duration) *time.Duration { return new(d) }

// TestStopEndsAtItsDeadline verifies the main promise to the nanosecond: whatever fails,
// the removal begins at T0 + G and Nexus receives Destroyed.
func TestStopEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// propolis are faults of the simulated Propolis, from its boot on.
		propolis []string
		// break_ causes a fault once the VM runs.
		break_ func(r *rig, v guest)
		// heal ends a fault that would keep Nexus from receiving the end.
		heal func(r *rig)
	}{
		{name: "stop is accepted and ignored", propolis: []string{"ignore-stop"}},
		{name: "stop PUT is never answered", propolis: []string{"hang-stop"}},
		{name: "stop PUT is answered by half", propolis: []string{"half-stop,stay-stopping"}},
		{name: "stop PUT trickles", propolis: []string{"trickle-stop=1m,stay-stopping"}},
		{name: "every stop is refused", propolis: []string{"refuse-stop=403:no"}},
		{name: "every stop is broken", propolis: []string{"refuse-stop=500:Internal"}},
		{name: "every stop is reset", propolis: []string{"reset-stop"}},
		{name: "winding down for ever", propolis: []string{"refuse-stop=424:NoInstance"}},
		{name: "stays stopping", propolis: []string{"stay-stopping"}},
		{name: "stays stopped", propolis: []string{"stay-stopped"}},
		{name: "monitor hangs", propolis: []string{"ignore-stop"}, break_: func(r *rig, v guest) {
			r.fault(v, "hang-monitor,hang-stop")
		}},
		{name: "everything hangs", break_: func(r *rig, v guest) { r.fault(v, "hang-all") }},
		{name: "everything is an instant error", break_: func(r *rig, v guest) { r.fault(v, "storm") }},
		{name: "generations go backwards", break_: func(r *rig, v guest) { r.fault(v, "backwards,ignore-stop") }},
		{name: "Nexus is silent", propolis: []string{"ignore-stop"},
			break_: func(r *rig, _ guest) { r.nexusFault("silent") }, heal: func(r *rig) { r.nexusFault() }},
		{name: "Nexus refuses", propolis: []string{"ignore-stop"},
			break_: func(r *rig, _ guest) { r.nexusFault("status=503") }, heal: func(r *rig) { r.nexusFault() }},
		{name: "kill hangs and is deaf", propolis: []string{"ignore-stop"}, break_: func(r *rig, v guest) {
			r.zones.SetFault(v.zone, zonetest.Kill, zonetest.Fault{Hang: true, Deaf: true, Times: 1})
		}},
		{name: "zone cannot be looked at", propolis: []string{"ignore-stop"}, break_: func(r *rig, v guest) {
			r.zones.SetFault(v.zone, zonetest.Look, zonetest.Fault{Fail: true, Times: 9})
		}},
		{name: "halt leaves the zone down", propolis: []string{"ignore-stop"}, break_: func(r *rig, v guest) {
			r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{Stuck: zone.Down, Times: 5})
		}},
		{name: "snapshots hang", propolis: []string{"ignore-stop,hang-snapshot"}, break_: func(r *rig, v guest) {
			for range 40 {
				go r.Snapshot(r.t.Context(), v.id, "disk", v.id) //nolint: its end is the removal's
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				r.misbehave(tt.propolis...)
				v := r.start()
				if tt.break_ != nil {
					tt.break_(r, v)
				}
				pass(time.Minute)
				deadline := time.Now().Add(grace)
				r.stop(v, nil)
				pass(grace - time.Nanosecond)
				if begun := r.removal(v); !begun.IsZero() {
					t.Errorf("removal began %s early", deadline.Sub(begun))
				}
				r.holdAck(tt.heal != nil)
				pass(time.Nanosecond)
				if begun := r.removal(v); !begun.Equal(deadline) {
					t.Errorf("removal began at %s, the deadline was %s", begun, deadline)
				}
				pass(time.Hour)
				if tt.heal != nil {
					tt.heal(r)
				}
				r.await(v, vmm.WireDestroyed)
				r.forgotten(v)
			})
		})
	}
}

// A suspended host keeps its deadlines: the time that the process's clock has missed is
// subtracted.
func TestSuspendedHostKeepsItsDeadlines(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		r.misbehave("ignore-stop")
		short, long := r.start(), r.start()
		r.stop(short, nil)
		r.stop(long, d(time.Hour))
		pass(time.Minute)
		r.Slept(20 * time.Minute)
		r.await(short, vmm.WireDestroyed)
		deadline := time.Now().Add(time.Hour - 21*time.Minute)
		pass(time.Until(deadline))
		if begun := r.removal(long); !begun.Equal(deadline) {
			t.Errorf("removal began at %s, the deadline was %s", begun, deadline)
		}
	})
}

// fault sets the faults of one VMM's Propolis.
func (r *rig) fault(v guest, modes string) {
	r.t.Helper()
	faults, err := sim.ParseFaults(modes)
	if err != nil {
		r.t.Fatal(err)
	}
	r.sim(v).SetFaults(faults)
}

func (r *rig) nexusFault(faults ...string) {
	r.t.Helper()
	if err := r.nexus.SetFault(faults...); err != nil {
		r.t.Fatal(err)
	}
}

// holdAck delays Nexus's acknowledgements, so that the VMM's status can be read after its
// zone was removed; already means that a fault does so anyway.
func (r *rig) holdAck(already bool) {
	if !already {
		r.nexusFault("status=500")
		time.AfterFunc(time.Minute, func() { r.nexusFault() })
	}
}

// do triggers an action of a VMM's guest.
func (r *rig) do(v guest, action string) {
	r.t.Helper()
	if err := r.sim(v).Do(action); err != nil {
		r.t.Fatal(err)
	}
}
