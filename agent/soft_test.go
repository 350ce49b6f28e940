package agent_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/runner"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/dropshot"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/propolis/sim"
)

// softly is bubbleWith for an agent and servers of Propolis's API 7.
func softly(t *testing.T, journal agent.Journal, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRigOn(t, journal, func(r *rig) {
			r.adjust = func(c *agent.Config) {
				c.Limits.SoftStop = true
				c.Propolis = func(addr netip.AddrPort) runner.Propolis {
					return propolis.NewClient(addr, propolis.Options{Dial: r.net.dial, APIVersion: "7.0.0"})
				}
			}
			r.serve = func(netip.AddrPort) (sim.Options, bool) {
				return sim.Options{Faults: r.faults, Newest: dropshot.Version{7}}, true
			}
		})
		test(t, r)
		r.close()
	})
}

// softStop requests a soft stop.
func (r *rig) softStop(v guest, grace *time.Duration, soft time.Duration) {
	r.t.Helper()
	if record, err := r.Stop(r.t.Context(), v.id, grace, soft); err != nil || record.VMM.State != vmm.WireStopping {
		r.t.Fatalf("soft stop: %+v, %v", record.VMM, err)
	}
}

// stops returns how many stops the VMM's Propolis has received.
func (r *rig) stops(v guest) uint64 {
	synctest.Wait()
	return r.sim(v).Status().Calls["stop"]
}

// last returns the last event of a kind.
func (r *rig) last(v guest, kind string) (last vmm.Event) {
	r.t.Helper()
	s, err := r.Show(v.id)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range s.Events {
		if e.Kind == kind {
			last = e
		}
	}
	return last
}

func TestSoftStop(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		faults string
		grace  *time.Duration
		soft   time.Duration
		// then is a second request, 5s after the first.
		then  func(r *rig, v guest)
		ends  time.Duration
		stops uint64
	}{
		"the guest obeys":               {"obey-after=10s", nil, 30 * time.Second, nil, 10 * time.Second, 1},
		"the guest ignores it":          {"ignore-button", nil, 30 * time.Second, nil, 30 * time.Second, 1},
		"Propolis hangs":                {"ignore-button,hang-soft", nil, 30 * time.Second, nil, grace, 1},
		"Propolis hangs for long":       {"ignore-button,hang-soft", nil, 20 * time.Minute, nil, 20*time.Minute + vmm.SoftMargin, 1},
		"Propolis hangs, with a grace":  {"ignore-button,hang-soft", d(12 * time.Second), 30 * time.Second, nil, 12 * time.Second, 1},
		"the grace is the shorter one":  {"ignore-button", d(12 * time.Second), 30 * time.Second, nil, 12 * time.Second, 1},
		"the answer never comes":        {"hang-stop", nil, 30 * time.Second, nil, grace, 0},
		"a hard one interrupts":         {"ignore-button", nil, time.Minute, func(r *rig, v guest) { r.stop(v, nil) }, 5 * time.Second, 2},
		"a hard one ends a hanging one": {"ignore-button,hang-soft", nil, time.Minute, func(r *rig, v guest) { r.stop(v, nil) }, 5 * time.Second, 2},
		"a shorter one interrupts": {"ignore-button", nil, time.Minute, func(r *rig, v guest) { r.softStop(v, nil, 10*time.Second) },
			15 * time.Second, 2},
		"a longer one changes nothing": {"ignore-button", nil, 10 * time.Second, func(r *rig, v guest) { r.softStop(v, nil, time.Hour) },
			10 * time.Second, 1},
		"a grace shortens both": {"ignore-button,hang-soft", nil, time.Minute, func(r *rig, v guest) { r.softStop(v, d(time.Second), time.Hour) },
			6 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			softly(t, nil, func(t *testing.T, r *rig) {
				r.misbehave(strings.Split(tt.faults, ",")...)
				v := r.start()
				p := r.sim(v)
				begun := time.Now()
				r.softStop(v, tt.grace, tt.soft)
				if tt.then != nil {
					pass(5 * time.Second)
					tt.then(r, v)
				}
				r.await(v, vmm.WireDestroyed)
				r.took(begun, tt.ends, tt.ends+time.Second)
				if got := p.Status().Calls["stop"]; tt.stops > 0 && got != tt.stops {
					t.Errorf("Propolis has received %d stops, want %d", got, tt.stops)
				}
				r.forgotten(v)
			})
		})
	}
}

// A request that Propolis does not accept at once is repeated with the time that is left,
// also by the next agent; after that it is a hard one.
func TestSoftStopIsRepeatedWithTheTimeThatIsLeft(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ restart, refuses, ends time.Duration }{
		"by the same agent":   {0, 10 * time.Second, 30 * time.Second},
		"by the next agent":   {10 * time.Second, 10 * time.Second, 30 * time.Second},
		"after the soft time": {40 * time.Second, 40 * time.Second, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMemory()
			softly(t, m, func(t *testing.T, r *rig) {
				r.misbehave("ignore-button", "refuse-stop=503")
				v := r.start()
				begun := time.Now()
				r.softStop(v, nil, 30*time.Second)
				if tt.restart > 0 {
					synctest.Wait()
					r.end()
					time.Sleep(tt.restart)
				} else {
					pass(tt.refuses)
				}
				r.fault(v, "ignore-button")
				if tt.restart > 0 {
					r.begin(m, r.loaded(m, nil))
				}
				r.await(v, vmm.WireDestroyed)
				// A pause between two attempts is at most 15s, and seconds are rounded up.
				r.took(begun, tt.ends, tt.ends+2*time.Second)
			})
		})
	}
}

// The next agent does not repeat a stop that was accepted, and keeps its deadline.
func TestSoftStopAfterARestart(t *testing.T) {
	t.Parallel()
	m := newMemory()
	softly(t, m, func(t *testing.T, r *rig) {
		r.misbehave("ignore-button", "hang-soft")
		v := r.start()
		begun := time.Now()
		r.softStop(v, nil, 20*time.Minute)
		pass(time.Second)
		r.restart(m)
		pass(time.Second)
		s, err := r.Show(v.id)
		if err != nil || s.Stop == nil || s.Stop.Soft != 20*time.Minute || s.WaitsFor != "its guest to power off" ||
			s.Deadline == nil || !s.Deadline.Equal(begun.Add(20*time.Minute+vmm.SoftMargin)) {
			t.Errorf("it shows %+v, deadline %v, %q, %v", s.Stop, s.Deadline, s.WaitsFor, err)
		}
		if n := r.stops(v); n != 1 {
			t.Errorf("Propolis has received %d stops", n)
		}
		r.stop(v, nil)
		r.await(v, vmm.WireDestroyed)
		r.took(begun, 0, 10*time.Second)
	})
}

func TestSoftReboot(t *testing.T) {
	t.Parallel()
	m := newMemory()
	softly(t, m, func(t *testing.T, r *rig) {
		r.misbehave("ignore-button")
		v := r.start()
		begun := time.Now()
		reboot := func(soft time.Duration) {
			t.Helper()
			if record, err := r.Reboot(t.Context(), v.id, soft); err != nil || record.VMM.State != vmm.WireRebooting {
				t.Fatalf("%+v, %v", record.VMM, err)
			}
		}
		reboot(20 * time.Minute)
		pass(time.Minute)
		r.restart(m) // The guest is still Running: that it is seen so ends nothing.
		pass(time.Minute)
		s, err := r.Show(v.id)
		if err != nil || s.Record.VMM.State != vmm.WireRebooting || s.Deadline == nil ||
			!s.Deadline.Equal(begun.Add(20*time.Minute+vmm.SoftMargin)) {
			t.Errorf("after a restart: %s, deadline %v, %v", s.Record.VMM.State, s.Deadline, err)
		}
		r.await(v, vmm.WireRunning)
		r.took(begun, 20*time.Minute, 20*time.Minute+2*time.Second)
		r.fault(v, "ignore-button,hang-soft")
		reboot(20 * time.Minute)
		pass(time.Minute)
		if record, err := r.Reboot(t.Context(), v.id, 0); err != nil {
			t.Errorf("a hard one: %+v, %v", record.VMM, err)
		}
		r.await(v, vmm.WireRunning)
		begun = time.Now()
		reboot(20 * time.Minute)
		r.await(v, vmm.WireFailed)
		r.took(begun, 20*time.Minute+vmm.SoftMargin, 20*time.Minute+vmm.SoftMargin+time.Second)
	})
}

// Propolis's API 6 has no soft stops: the stop is sent at once, and the time counts as grace.
func TestSoftStopWithAnEarlierPropolis(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		begun := time.Now()
		r.softStop(v, nil, 20*time.Minute)
		r.await(v, vmm.WireDestroyed)
		r.took(begun, 0, time.Second)
		r.misbehave("ignore-stop")
		v = r.start()
		begun = time.Now()
		r.softStop(v, nil, 20*time.Minute)
		pass(time.Second)
		if e := r.last(v, "stop"); !strings.Contains(e.Text, "forced at once") {
			t.Errorf("event %+v", e)
		}
		r.await(v, vmm.WireDestroyed)
		r.took(begun, 20*time.Minute+vmm.SoftMargin, 20*time.Minute+vmm.SoftMargin+time.Second)
	})
}
