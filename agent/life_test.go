package agent_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/caller"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/propolis"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

func TestLifecycle(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.stop(v, nil)
		r.await(v, vmm.WireDestroyed)
		r.forgotten(v)
		row, _ := r.nexus.Row(v.id)
		var states []string
		for _, seen := range row.History {
			states = append(states, fmt.Sprintf("%s@%d", seen.State, seen.Gen))
		}
		last := states[len(states)-1]
		if row.State() != vmm.WireDestroyed || !slices.IsSortedFunc(row.History, func(a, b nexussim.Seen) int { return int(a.Gen) - int(b.Gen) }) {
			t.Errorf("history %v, last %s", states, last)
		}
	})
}

// The id of an ended VMM is not registered again: a late repeat of a request must not start
// a VMM that is destroyed for Nexus. Its last Status can be read.
func TestEndedIDIsKeptAndNotReused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.register()
		r.nexusFault("status=503")
		r.stop(v, nil)
		pass(time.Minute)
		again := func() {
			t.Helper()
			reg := wiretest.Registration(wire.BodyOptions{PropolisAddr: v.addr})
			if rec, err := r.Register(t.Context(), v.id, reg); !vmm.Refused(err, vmm.Terminating) && !vmm.Refused(err, vmm.Conflict) {
				t.Errorf("registered again: %+v, %v", rec, err)
			}
		}
		again() // before Nexus knows of the end
		r.nexusFault()
		r.await(v, vmm.WireDestroyed)
		r.forgotten(v)
		again()
		s, err := r.Show(v.id)
		if err != nil || s.Phase != "forgotten" || s.Record.VMM.State != vmm.WireDestroyed || s.Events[len(s.Events)-1].Kind != "forgotten" {
			t.Fatalf("%+v, %v", s, err)
		}
		if len(r.List()) != 0 || len(r.Ended()) != 1 {
			t.Errorf("listed: %d, ended: %d", len(r.List()), len(r.Ended()))
		}
	})
}

func TestRegistrationIsIdempotentAndConflictsAreRefused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		instance := uuid.New()
		v := r.registerWith(wire.BodyOptions{InstanceID: instance})
		same := wiretest.Registration(wire.BodyOptions{InstanceID: instance, PropolisAddr: v.addr, Gen: 7})
		if record, err := r.Register(t.Context(), v.id, same); err != nil || record.VMM.Gen != 2 {
			t.Errorf("again: %+v, %v", record, err)
		}
		other := wiretest.Registration(wire.BodyOptions{PropolisAddr: v.addr})
		if _, err := r.Register(t.Context(), v.id, other); !vmm.Refused(err, vmm.Conflict) {
			t.Errorf("another instance: %v", err)
		}
	})
}

func TestStopOfAVMMThatNeverStarted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.register()
		begun := time.Now()
		r.stop(v, nil)
		r.await(v, vmm.WireDestroyed)
		r.forgotten(v)
		r.took(begun, 0, time.Second)
	})
}

// TestStopCutsAStartShort stops VMMs whose guest cannot have run yet, so that no grace
// period is needed and their removal begins at once.
func TestStopCutsAStartShort(t *testing.T) {
	t.Parallel()
	tests := map[string]func(r *rig){
		"zone is being made":             func(r *rig) { r.zones.SetFault("", zonetest.Create, zonetest.Fault{Hang: true}) },
		"zone is being made by the deaf": func(r *rig) { r.zones.SetFault("", zonetest.Create, zonetest.Fault{Hang: true, Deaf: true}) },
		"zone is booting":                func(r *rig) { r.zones.SetFault("", zonetest.Boot, zonetest.Fault{Hang: true}) },
		"Propolis does not serve":        func(r *rig) { r.misbehave("hang-get") },
		"Propolis is making the VM":      func(r *rig) { r.misbehave("hang-ensure") },
	}
	for name, break_ := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				break_(r)
				v := r.register()
				r.run(v)
				pass(time.Minute)
				begun := time.Now()
				r.stop(v, nil)
				r.await(v, vmm.WireDestroyed)
				r.took(begun, 0, 5*time.Second)
				// The hanging call creates its zone after the VMM has ended; that zone must be
				// removed, too.
				r.zones.Unhang()
				pass(time.Minute)
				r.forgotten(v)
			})
		})
	}
}

func TestStartThatFailsOrTakesTooLongEndsFailed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		break_ func(r *rig)
		within time.Duration
	}{
		{"zone cannot be made", func(r *rig) { r.zones.SetFault("", zonetest.Create, zonetest.Fault{Fail: true}) }, time.Second},
		{"zone cannot be booted", func(r *rig) { r.zones.SetFault("", zonetest.Boot, zonetest.Fault{Fail: true}) }, time.Second},
		{"Propolis refuses the VM", func(r *rig) { r.misbehave("refuse-ensure=400") }, time.Second},
		{"Propolis fails to make the VM", func(r *rig) { r.misbehave("fail-create") }, time.Second},
		{"the VM fails to start", func(r *rig) { r.misbehave("fail-start") }, 5 * time.Second},
		{"making the zone hangs", func(r *rig) { r.zones.SetFault("", zonetest.Create, zonetest.Fault{Hang: true}) }, limits.StartTimeout},
		{"Propolis never serves", func(r *rig) { r.misbehave("hang-get") }, limits.StartTimeout},
		{"making the VM hangs", func(r *rig) { r.misbehave("hang-ensure") }, limits.StartTimeout},
		{"Run is never answered", func(r *rig) { r.misbehave("hang-run") }, limits.StartTimeout},
		{"Run is refused for ever", func(r *rig) { r.misbehave("refuse-run=500:Internal") }, limits.StartTimeout},
		{"it never leaves Starting", func(r *rig) { r.misbehave("stay-starting") }, limits.StartTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				tt.break_(r)
				v := r.register()
				begun := time.Now()
				r.run(v)
				r.await(v, vmm.WireFailed)
				r.forgotten(v)
				r.took(begun, 0, tt.within+5*time.Second)
			})
		})
	}
}

func TestUnrequestedEndIsFailed(t *testing.T) {
	t.Parallel()
	tests := map[string]func(r *rig, v guest){
		"zone ends":              func(r *rig, v guest) { r.zones.Die(v.zone) },
		"zone is removed":        func(r *rig, v guest) { r.zones.Put(v.zone, zone.Absent) },
		"zone is halted by hand": func(r *rig, v guest) { r.zones.Put(v.zone, zone.Down) },
		"Propolis loses the VM":  func(r *rig, v guest) { r.do(v, "lose-vm") },
		"Propolis reports it":    func(r *rig, v guest) { r.do(v, "fail") },
	}
	for name, die := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				v := r.start()
				pass(time.Hour)
				begun := time.Now()
				die(r, v)
				r.await(v, vmm.WireFailed)
				r.forgotten(v)
				r.took(begun, 0, 5*time.Second)
			})
		})
	}
}

func TestGuestThatHaltsItself(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.do(v, "guest-poweroff")
		r.await(v, vmm.WireDestroyed)
		r.forgotten(v)

		hung := r.start()
		r.fault(hung, "stay-stopping")
		r.do(hung, "guest-poweroff")
		deadline := time.Now().Add(grace)
		pass(grace - time.Second)
		if !r.removal(hung).IsZero() {
			t.Error("removal began before the default grace had passed")
		}
		r.await(hung, vmm.WireDestroyed)
		if late := time.Since(deadline); late > time.Second {
			t.Errorf("destroyed %s after the deadline", late)
		}
	})
}

func TestUnregister(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		if record, err := r.Unregister(t.Context(), uuid.New()); record != nil || err != nil {
			t.Errorf("unknown: %v, %v", record, err)
		}
		running, idle := r.start(), r.register()
		for _, v := range []guest{running, idle} {
			record, err := r.Unregister(t.Context(), v.id)
			if err != nil || record.VMM.State != vmm.WireFailed {
				t.Fatalf("%+v, %v", record, err)
			}
			r.forgotten(v)
			_, puts := r.nexus.Puts(0)
			pass(time.Hour)
			if _, now := r.nexus.Puts(0); now != puts {
				t.Error("published after the unregister was answered")
			}
		}
		stopping := r.start()
		r.fault(stopping, "ignore-stop")
		r.stop(stopping, nil)
		if record, err := r.Unregister(t.Context(), stopping.id); err != nil || record.VMM.State != vmm.WireDestroyed {
			t.Errorf("an accepted stop ended as %+v, %v", record, err)
		}
	})
}

func TestUnregisterReturnsWhileTheZoneRemains(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{Stuck: zone.Down})
		for range 3 {
			begun := time.Now()
			record, err := r.Unregister(t.Context(), v.id)
			if err != nil || record == nil || record.VMM.State.Terminal() || time.Since(begun) > 30*time.Second {
				t.Fatalf("after %s: %+v, %v", time.Since(begun), record, err)
			}
		}
		pass(time.Hour)
		if s, err := r.Show(v.id); err != nil || s.Removal.ZoneState != "down" || s.Removal.Attempt < 100 || s.WaitsFor == "" {
			t.Errorf("%+v, %v", s.Removal, err)
		}
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{})
		pass(time.Minute)
		r.forgotten(v)
	})
}

func TestHangingHaltIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{Hang: true, Times: 1})
		r.stop(v, d(0))
		pass(time.Second)
		if s, err := r.Show(v.id); err != nil || !strings.Contains(s.WaitsFor, "halt is under way for 1s") {
			t.Errorf("it waits for %q, %v", s.WaitsFor, err)
		}
		r.await(v, vmm.WireDestroyed)
	})
}

// The agent does not wait for a server that the host does not restart.
func TestServerThatTheHostGivesUp(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		r.misbehave("hang-get")
		v := r.register()
		r.run(v)
		pass(time.Second)
		r.zones.SetFault(v.zone, zonetest.ServerFailed, zonetest.Fault{Hang: true, Times: 1})
		r.zones.FailServer(v.zone, "it restarts too quickly")
		begun := time.Now()
		r.await(v, vmm.WireFailed)
		r.took(begun, 0, time.Minute)
		s, err := r.Show(v.id)
		if err != nil || !strings.Contains(s.Reason, "it restarts too quickly") {
			t.Errorf("because %q, %v", s.Reason, err)
		}
		if !slices.ContainsFunc(s.Events, func(e vmm.Event) bool { return e.Kind == "starting" && e.Error != "" }) {
			t.Errorf("no event with the host's missing answer: %+v", s.Events)
		}
	})
}

func TestReboot(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		record, err := r.Reboot(t.Context(), v.id, 0)
		if err != nil || record.VMM.State != vmm.WireRebooting && record.VMM.State != vmm.WireRunning {
			t.Errorf("%+v, %v", record.VMM, err)
		}
		pass(2 * limits.RebootTimeout)
		if record, err := r.State(v.id); err != nil || record.VMM.State != vmm.WireRunning {
			t.Errorf("later: %+v, %v", record.VMM, err)
		}
		r.fault(v, "refuse-reboot=403:no")
		var refusal *propolis.Error
		if _, err := r.Reboot(t.Context(), v.id, 0); !errors.As(err, &refusal) || refusal.Status != 403 {
			t.Errorf("refused: %v", err)
		}
		r.fault(v, "stay-rebooting")
		if _, err := r.Reboot(t.Context(), v.id, 0); err != nil {
			t.Error(err)
		}
		begun := time.Now()
		r.await(v, vmm.WireFailed)
		r.took(begun, limits.RebootTimeout, limits.RebootTimeout+time.Second)
		idle := r.register()
		if _, err := r.Reboot(t.Context(), idle.id, 0); !vmm.Refused(err, vmm.NotRunning) {
			t.Errorf("never started: %v", err)
		}
	})
}

func TestMigrationTarget(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		migration := uuid.New()
		v := r.registerWith(wire.BodyOptions{MigrationID: &migration})
		if err := r.MigrateIn(t.Context(), v.id, v.addr); err != nil {
			t.Fatal(err)
		}
		r.await(v, vmm.WireRunning)
		row, _ := r.nexus.Row(v.id)
		if in := row.Record.MigrationIn; in == nil || in.ID != migration || in.State != vmm.MigrationCompleted {
			t.Errorf("%+v", in)
		}
		without := r.register()
		if err := r.MigrateIn(t.Context(), without.id, v.addr); err != nil {
			t.Fatal(err)
		}
		r.await(without, vmm.WireFailed)
	})
}

func TestStuckVMMDelaysNoOther(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		stuck, well := r.start(), r.start()
		r.fault(stuck, "hang-all")
		r.nexusFault("silent@" + stuck.id.String())
		r.zones.SetFault(stuck.zone, zonetest.Halt, zonetest.Fault{Hang: true, Deaf: true})
		for range 40 {
			go r.Reboot(t.Context(), stuck.id, 0) //nolint: it is stuck
			go r.Snapshot(t.Context(), stuck.id, "disk", uuid.New())
		}
		pass(time.Second)
		begun := time.Now()
		r.stop(stuck, d(time.Hour))
		if _, err := r.State(stuck.id); err != nil {
			t.Error(err)
		}
		r.stop(well, nil)
		r.await(well, vmm.WireDestroyed)
		another := r.start()
		if err := r.Run(t.Context(), another.id); err != nil {
			t.Error(err)
		}
		if _, err := r.Zones(t.Context()); err != nil || len(r.List()) != 2 {
			t.Errorf("%d VMMs, %v", len(r.List()), err)
		}
		r.took(begun, 0, 250*time.Millisecond)
		r.nexusFault()
		pass(2 * time.Hour)
		r.zones.SetFault(stuck.zone, zonetest.Halt, zonetest.Fault{})
		r.zones.Unhang()
		r.await(stuck, vmm.WireDestroyed)
	})
}

// TestNeverDisownedBeforeNexusKnows observes a VMM during its removal.
func TestNeverDisownedBeforeNexusKnows(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.nexusFault("status=503")
		r.zones.SetFault(v.zone, zonetest.Uninstall, zonetest.Fault{Delay: 10 * time.Second})
		r.stop(v, nil)
		for range 1000 {
			pass(50 * time.Millisecond)
			if _, err := r.State(v.id); err != nil {
				t.Fatal(err)
			}
			if record, err := r.Stop(t.Context(), v.id, nil, 0); err != nil || record.VMM.State == vmm.WireFailed {
				t.Fatalf("a repeated stop: %+v, %v", record.VMM, err)
			}
		}
		r.nexusFault()
		r.await(v, vmm.WireDestroyed)
		r.forgotten(v)
	})
}

func TestTwoVMMsOfOneAddress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		first := r.start()
		second := r.registerWith(wire.BodyOptions{PropolisAddr: first.addr})
		r.run(second)
		r.await(second, vmm.WireFailed)
		pass(time.Hour)
		if record, err := r.State(first.id); err != nil || record.VMM.State != vmm.WireRunning {
			t.Errorf("the first: %+v, %v", record.VMM, err)
		}
	})
}

func TestOperatorsKill(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.fault(v, "hang-all")
		begun := time.Now()
		if _, err := r.Kill(t.Context(), v.id); err != nil {
			t.Fatal(err)
		}
		r.await(v, vmm.WireDestroyed)
		r.took(begun, 0, time.Second)
	})
}

// What an operator has asked for is shown as such, and not as Nexus's.
func TestWhoAskedIsShown(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		ctx := caller.With(t.Context(), vmm.Operator("alice"))
		killed, stopped, byNexus := r.register(), r.start(), r.start()
		if err := r.Run(ctx, killed.id); err != nil {
			t.Fatal(err)
		}
		r.await(killed, vmm.WireRunning)
		_, rebooted := r.Reboot(ctx, killed.id, 0)
		_, err := r.Kill(ctx, killed.id)
		_, stopErr := r.Agent.Stop(ctx, stopped.id, nil, 0)
		if err := errors.Join(rebooted, err, stopErr); err != nil {
			t.Fatal(err)
		}
		r.stop(byNexus, nil)
		for _, c := range []struct {
			v      guest
			by     string
			events []string
		}{
			{killed, "operator alice", []string{"start: Start, by operator alice", "reboot: by operator alice", "killed-by-operator: by operator alice"}},
			{stopped, "operator alice", []string{"start: Start", "stop: by operator alice, grace 10m0s"}},
			{byNexus, "nexus", []string{"start: Start", "stop: by nexus, grace 10m0s"}},
		} {
			s, err := r.Show(c.v.id)
			if err != nil || s.Stop.By != c.by {
				t.Errorf("stopped by %q, %v; want %s", s.Stop.By, err, c.by)
			}
			var got []string
			for _, e := range s.Events {
				got = append(got, e.Kind+": "+e.Text)
			}
			for _, want := range c.events {
				if !slices.Contains(got, want) {
					t.Errorf("no event %q in %q", want, got)
				}
			}
		}
		if s, err := r.Show(killed.id); err != nil || s.Reason != "killed by the operator alice" {
			t.Errorf("the reason is %q, %v", s.Reason, err)
		}
	})
}

func TestExitLeavesVMsRunning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		v := r.start()
		r.zones.SetFault("", zonetest.Kill, zonetest.Fault{Hang: true, Deaf: true})
		calls := len(r.zones.Calls())
		r.Drain()
		if err := r.Run(t.Context(), v.id); !vmm.Refused(err, vmm.Draining) {
			t.Errorf("run while draining: %v", err)
		}
		if err := r.tryRegister(); !vmm.Refused(err, vmm.Draining) {
			t.Errorf("register while draining: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Agent.Close(ctx); err != nil {
			t.Error(err)
		}
		if _, err := r.Stop(t.Context(), v.id, nil, 0); !vmm.Refused(err, vmm.Draining) {
			t.Errorf("stop after the end: %v", err)
		}
		if now := r.zones.Calls(); len(now) != calls {
			t.Errorf("touched zones: %v", now[calls:])
		}
		r.close()
	})
}

// slowDisk is a journal that answers after a delay, or never.
type slowDisk struct {
	ledger.Memory
	mu    sync.Mutex
	delay time.Duration
	err   error
}

func (s *slowDisk) Save(uuid.UUID, ledger.Entry) <-chan error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.delay < 0 {
		return make(chan error)
	}
	done := make(chan error, 1)
	err := s.err
	time.AfterFunc(s.delay, func() { done <- err })
	return done
}

func (s *slowDisk) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.delay < 0 {
		return errors.New("stuck")
	}
	return s.err
}

func (s *slowDisk) set(delay time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay, s.err = delay, err
}

func TestDurableBeforeVisible(t *testing.T) {
	t.Parallel()
	disk := &slowDisk{Memory: ledger.NewMemory(0), delay: time.Second}
	bubbleWith(t, disk, func(t *testing.T, r *rig) {
		begun := time.Now()
		v := r.start()
		before, _ := r.State(v.id)
		stopped := make(chan time.Duration)
		begun = time.Now()
		go func() {
			r.stop(v, nil)
			stopped <- time.Since(begun)
		}()
		pass(time.Second - 1)
		if now, _ := r.State(v.id); now != before {
			t.Error("the stop was visible before it was durable")
		}
		if took := <-stopped; took != time.Second {
			t.Errorf("the stop was answered after %s", took)
		}
		r.await(v, vmm.WireDestroyed)
	})
}

func TestFailingDiskDelaysNoStop(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"hangs": -1, "fails": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := &slowDisk{Memory: ledger.NewMemory(0)}
			bubbleWith(t, disk, func(t *testing.T, r *rig) {
				r.misbehave("ignore-stop")
				v := r.start()
				disk.set(delay, errors.New("input/output error"))
				deadline := time.Now().Add(grace)
				r.stop(v, nil)
				if s, err := r.Show(v.id); err != nil || s.Degraded == "" {
					t.Errorf("not reported as degraded: %v", err)
				}
				r.await(v, vmm.WireDestroyed)
				if late := time.Since(deadline); late > 10*time.Second {
					t.Errorf("destroyed %s after the deadline", late)
				}
			})
		})
	}
}

// An ended VMM that Nexus has not acknowledged yet has no process.
func TestEndedVMMHasNoProcess(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		if s, err := r.Show(v.id); err != nil || s.PID == 0 {
			t.Errorf("while it runs: pid %d, %v", s.PID, err)
		}
		r.holdAck(false)
		r.stop(v, d(0))
		pass(10 * time.Second)
		if s, err := r.Show(v.id); err != nil || s.Phase != vmm.Ended.String() || s.PID != 0 {
			t.Errorf("after its end: %s, pid %d, %v", s.Phase, s.PID, err)
		}
		pass(time.Minute)
		r.forgotten(v)
	})
}
