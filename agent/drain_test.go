package agent_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
)

// tryRegister registers a VMM and returns the error.
func (r *rig) tryRegister() error {
	_, err := r.Register(r.t.Context(), uuid.New(), wiretest.Registration(wire.BodyOptions{}))
	return err
}

// bubbleClock is the boot clock of a bubble.
type bubbleClock time.Time

func (c bubbleClock) Now() time.Duration    { return time.Since(time.Time(c)) }
func (c bubbleClock) Boot() (string, error) { return "", nil }

// drainBubble is bubbleWith for agents whose disposition outlives them.
func drainBubble(t *testing.T, journal agent.Journal, test func(*testing.T, *rig, *disposition.Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := disposition.NewMemory(bubbleClock(time.Now()))
		r := newRigOn(t, journal, func(r *rig) {
			r.adjust = func(c *agent.Config) { c.Disposition = store }
		})
		test(t, r, store)
		r.close()
	})
}

func (r *rig) configure(generation uint64, value disposition.Value) {
	r.t.Helper()
	c := disposition.Config{Generation: generation, Disposition: value, APIVersion: 54, Body: []byte(`{}`)}
	if err := r.Configure(r.t.Context(), c); err != nil {
		r.t.Error(err)
	}
}

// An evacuated sled takes no new VMM and starts none. Everything else goes on: what is
// registered may be registered again, running VMMs may be rebooted, started again and
// stopped.
func TestEvacuatedByNexus(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		running, idle, gone := r.start(), r.register(), r.start()
		r.stop(gone, d(0))
		r.await(gone, vmm.WireDestroyed)
		id := uuid.New()
		target := r.registerWith(wire.BodyOptions{MigrationID: &id})
		r.configure(3, disposition.Evacuating)

		if err := r.tryRegister(); !vmm.Refused(err, vmm.Evacuating) {
			t.Errorf("register: %v", err)
		}
		if err := r.Run(t.Context(), idle.id); !vmm.Refused(err, vmm.Evacuating) {
			t.Errorf("run: %v", err)
		}
		if err := r.MigrateIn(t.Context(), target.id, running.addr); !vmm.Refused(err, vmm.Evacuating) {
			t.Errorf("migrate in: %v", err)
		}
		if err := r.Run(t.Context(), uuid.New()); !vmm.Refused(err, vmm.Unknown) {
			t.Errorf("run of an unknown VMM: %v", err)
		}
		again := wiretest.Registration(wire.BodyOptions{PropolisAddr: running.addr})
		for _, v := range []guest{running, idle} {
			have, err := r.Show(v.id)
			if err != nil {
				t.Fatal(err)
			}
			again.InstanceID = have.InstanceID
			if _, err := r.Register(t.Context(), v.id, again); err != nil {
				t.Errorf("a registration is not repeatable: %v", err)
			}
		}
		if _, err := r.Register(t.Context(), gone.id, again); !vmm.Refused(err, vmm.Terminating) {
			t.Errorf("registration of a VMM that has ended: %v", err)
		}
		r.run(running)
		if _, err := r.Reboot(t.Context(), running.id, 0); err != nil {
			t.Errorf("reboot: %v", err)
		}
		pass(time.Hour)
		if state, held, loaded := r.Held(); state.Value() != disposition.Evacuating || held != 3 || !loaded {
			t.Errorf("the agent holds %d VMMs, %s", held, state.Value())
		}
		r.await(running, vmm.WireRunning) // nothing was stopped
		r.stop(running, nil)
		r.await(running, vmm.WireDestroyed)
		for _, v := range []guest{idle, target} {
			if _, err := r.Unregister(t.Context(), v.id); err != nil {
				t.Errorf("unregister: %v", err)
			}
		}
		pass(time.Minute)
		if _, held, _ := r.Held(); held != 0 {
			t.Errorf("the agent holds %d VMMs", held)
		}
		r.configure(4, disposition.Available)
		r.stop(r.start(), d(0))
		pass(time.Minute)
	})
}

// A drain ends every VMM, whatever it is doing, at one deadline at the latest.
func TestDrainEndsEveryVMM(t *testing.T) {
	t.Parallel()
	drainBubble(t, nil, func(t *testing.T, r *rig, _ *disposition.Store) {
		obedient, idle := r.start(), r.register()
		r.misbehave("ignore-stop")
		deaf, stopped := r.start(), r.start()
		r.stop(stopped, d(time.Hour))
		r.misbehave("hang-ensure")
		starting := r.register()
		r.run(starting)
		pass(time.Second)
		id := uuid.New()
		r.misbehave("stay-migrating", "ignore-stop")
		target := r.registerWith(wire.BodyOptions{MigrationID: &id})
		if err := r.MigrateIn(t.Context(), target.id, obedient.addr); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		began := time.Now()
		now := r.BeginDrain(t.Context(), vmm.ByOperator, d(2*time.Minute))
		if now.Disposition != disposition.Evacuating || now.VMMs != 6 || now.Operator == nil ||
			!now.Operator.Deadline.Equal(began.Add(2*time.Minute)) {
			t.Errorf("the status is %+v, %+v", now, now.Operator)
		}
		if err := r.tryRegister(); !vmm.Refused(err, vmm.Evacuating) {
			t.Errorf("register: %v", err)
		}
		for _, v := range []guest{obedient, idle, starting} {
			r.await(v, vmm.WireDestroyed)
			if took := time.Since(began); took > time.Minute {
				t.Errorf("VMM %s ended after %s", v.id, took)
			}
		}
		for _, v := range []guest{deaf, stopped, target} {
			r.await(v, vmm.WireDestroyed)
			s, err := r.Show(v.id)
			if err != nil || s.Removal == nil || s.Removal.Begun.Sub(began).Round(time.Second) != 2*time.Minute {
				t.Errorf("VMM %s was removed at %+v: %v", v.id, s.Removal, err)
			}
		}
		if s, err := r.Show(deaf.id); err != nil || s.Stop.By != string(vmm.ByOperator) {
			t.Errorf("the stop is %+v: %v", s.Stop, err)
		}
		pass(time.Minute)
		if now := r.Disposition(); now.VMMs != 0 || now.Disposition != disposition.Evacuating {
			t.Errorf("after the drain: %+v", now)
		}
		if _, err := r.EndDrain(t.Context(), vmm.ByOperator); err != nil {
			t.Fatal(err)
		}
		r.stop(r.start(), d(0))
		pass(time.Minute)
	})
}

// A repeated drain may shorten the grace; an undrain leaves accepted stops accepted.
func TestRepeatedDrain(t *testing.T) {
	t.Parallel()
	drainBubble(t, nil, func(t *testing.T, r *rig, _ *disposition.Store) {
		r.misbehave("ignore-stop")
		v := r.start()
		began := time.Now()
		r.BeginDrain(t.Context(), vmm.ByOperator, nil)
		pass(time.Second)
		if s, _ := r.Show(v.id); s.Deadline == nil || s.Deadline.Sub(began) != grace {
			t.Errorf("the deadline is %v", s.Deadline)
		}
		r.BeginDrain(t.Context(), vmm.ByOperator, d(time.Hour))
		r.BeginDrain(t.Context(), vmm.ByOperator, d(time.Minute))
		pass(time.Second)
		deadline := began.Add(time.Second + time.Minute)
		if s, _ := r.Show(v.id); s.Deadline == nil || !s.Deadline.Equal(deadline) {
			t.Errorf("the deadline is %v, want %v", s.Deadline, deadline)
		}
		if _, err := r.EndDrain(t.Context(), vmm.ByOperator); err != nil {
			t.Fatal(err)
		}
		if _, err := r.EndDrain(t.Context(), vmm.ByOperator); err != nil {
			t.Fatal(err)
		}
		other := r.start()
		r.await(v, vmm.WireDestroyed)
		if got := time.Now(); got.Before(deadline) || got.After(deadline.Add(time.Minute)) {
			t.Errorf("ended at %v, the deadline is %v", got, deadline)
		}
		pass(time.Hour)
		r.await(other, vmm.WireRunning)
		r.stop(other, d(0))
		pass(time.Minute)
	})
}

// A VMM that has failed by itself stays so: the drain asks nothing of it.
func TestDrainChangesNoOutcome(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.nexusFault("status=503")
		r.do(v, "fail")
		pass(time.Minute)
		r.BeginDrain(t.Context(), vmm.ByOperator, d(time.Minute))
		pass(time.Hour)
		if now := r.Disposition(); now.VMMs != 1 {
			t.Errorf("the agent holds %d VMMs, and Nexus has acknowledged none", now.VMMs)
		}
		r.nexusFault()
		r.await(v, vmm.WireFailed)
		pass(time.Minute)
		if now := r.Disposition(); now.VMMs != 0 {
			t.Errorf("the agent holds %d VMMs", now.VMMs)
		}
	})
}

// A stop that cannot be accepted yet is requested again. The disk of the disposition and
// that of the ledger hang meanwhile; neither delays the ends.
func TestDrainWithABadDisk(t *testing.T) {
	t.Parallel()
	disk := &slowDisk{Memory: ledger.NewMemory(0)}
	drainBubble(t, disk, func(t *testing.T, r *rig, _ *disposition.Store) {
		r.misbehave("ignore-stop")
		v, w := r.start(), r.start()
		disk.set(-1, nil)
		began := time.Now()
		r.BeginDrain(t.Context(), vmm.ByOperator, d(time.Minute))
		for _, v := range []guest{v, w} {
			r.await(v, vmm.WireDestroyed)
		}
		r.took(began, 0, 2*time.Minute)
		disk.set(0, nil)
		pass(time.Minute)
	})
}

// slowWrite is the context of a request to drain whose write hangs.
type slowWrite struct {
	context.Context
	until chan struct{}
}

func (c slowWrite) Deadline() (time.Time, bool) {
	<-c.until
	return c.Context.Deadline()
}

// The VMMs are stopped before the drain is on disk.
func TestDrainDoesNotWaitForItsFile(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		ctx, answered := slowWrite{t.Context(), make(chan struct{})}, make(chan struct{})
		go func() {
			defer close(answered)
			r.BeginDrain(ctx, vmm.ByOperator, d(time.Minute))
		}()
		pass(2 * time.Second)
		if s, err := r.Show(v.id); err != nil || s.Stop == nil {
			t.Errorf("while the drain is being written: %+v, %v", s.Stop, err)
		}
		close(ctx.until)
		<-answered
		pass(time.Minute)
	})
}

// The next agent finishes the drain: it stops what was not stopped yet, with what is left
// of the grace.
func TestDrainAfterARestart(t *testing.T) {
	t.Parallel()
	m := newMemory()
	drainBubble(t, m, func(t *testing.T, r *rig, store *disposition.Store) {
		r.misbehave("ignore-stop")
		v, idle := r.start(), r.register()
		began := time.Now()
		// The first agent is killed before it has stopped anything.
		store.Begin(string(vmm.ByOperator), time.Hour)
		if err := store.Save(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if s, err := r.Show(v.id); err != nil || s.Stop != nil {
			t.Fatalf("the VMM has a stop already: %+v, %v", s.Stop, err)
		}
		r.restart(m)
		if err := r.tryRegister(); !vmm.Refused(err, vmm.Evacuating) {
			t.Errorf("register: %v", err)
		}
		r.await(idle, vmm.WireDestroyed)
		r.restart(m)
		r.await(v, vmm.WireDestroyed)
		s, err := r.Show(v.id)
		if err != nil || s.Stop == nil || s.Stop.By != string(vmm.ByOperator) || !s.Removal.Begun.Equal(began.Add(time.Hour)) {
			t.Errorf("it had the stop %+v and the removal %+v: %v", s.Stop, s.Removal, err)
		}
	})
}

// Once the sled is evacuated, the number of VMMs never rises.
func TestHeldNeverRisesOnceEvacuated(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithCancel(t.Context())
		registering := make(chan struct{})
		go func() {
			defer close(registering)
			for ctx.Err() == nil && r.tryRegister() == nil {
			}
		}()
		go r.configure(1, disposition.Evacuating)
		most := -1
		for range 1000 {
			state, held, _ := r.Held()
			if state.Value() == disposition.Available {
				continue
			}
			if most >= 0 && held > most {
				t.Errorf("%d VMMs, after %d", held, most)
			}
			most = held
		}
		cancel()
		<-registering
		synctest.Wait()
		r.BeginDrain(t.Context(), vmm.ByOperator, d(0))
		pass(time.Minute)
		if now := r.Disposition(); now.VMMs != 0 {
			t.Errorf("the agent holds %d VMMs", now.VMMs)
		}
	})
}
