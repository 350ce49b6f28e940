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

func d(d time.Duration) *time.Duration { return &d }

// TestStopEndsAtItsDeadline holds the headline promise to the nanosecond: with
// whatever broken, the removal begins at T0 + G and Nexus hears Destroyed.
func TestStopEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		// propolis are faults of the simulated Propolis, set before it boots.
		propolis []string
		// break_ breaks something once the VM runs.
		break_ func(r *rig, v guest)
		// heal ends what would keep Nexus from ever hearing.
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

// holdAck keeps Nexus from acknowledging for a moment, so that the VMM's status
// can still be seen when its zone is gone; already tells that it does so anyway.
func (r *rig) holdAck(already bool) {
	if !already {
		r.nexusFault("status=500")
		time.AfterFunc(time.Minute, func() { r.nexusFault() })
	}
}

// do makes something happen to a VMM's guest.
func (r *rig) do(v guest, action string) {
	r.t.Helper()
	if err := r.sim(v).Do(action); err != nil {
		r.t.Fatal(err)
	}
}
