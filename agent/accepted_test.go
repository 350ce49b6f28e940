package agent_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// A request that begins something fails if its record is not durable; one that ends a VMM
// does not.
func TestRequestsNeedADurableRecord(t *testing.T) {
	t.Parallel()
	for name, delay := range map[string]time.Duration{"hangs": -1, "fails": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := &slowDisk{Memory: ledger.NewMemory(0)}
			bubbleWith(t, disk, func(t *testing.T, r *rig) {
				known := r.register()
				disk.set(delay, errors.New("no space left on device"))
				reg := wiretest.Registration(wire.BodyOptions{})
				id := uuid.New()
				if _, err := r.Register(t.Context(), id, reg); !vmm.Refused(err, vmm.Unwritable) {
					t.Errorf("register: %v", err)
				}
				if _, err := r.State(id); !vmm.Refused(err, vmm.Unknown) {
					t.Errorf("a refused registration is known: %v", err)
				}
				calls := len(r.zones.Calls())
				if err := r.Run(t.Context(), known.id); !vmm.Refused(err, vmm.Unwritable) {
					t.Errorf("run: %v", err)
				}
				pass(time.Hour)
				if now := r.zones.Calls(); slices.ContainsFunc(now[calls:], func(c string) bool { return c == "create "+known.zone }) {
					t.Errorf("a refused start was carried out")
				}
				disk.set(0, nil)
				r.run(known)
				r.await(known, vmm.WireRunning)
				r.stop(known, nil)
				r.await(known, vmm.WireDestroyed)
				if _, err := r.Register(t.Context(), id, reg); err != nil {
					t.Errorf("a refused registration cannot be repeated: %v", err)
				}
				r.stop(guest{id: id}, d(0))
				pass(time.Minute)
			})
		})
	}
}

// Nexus may have seen generations that an earlier process could not write: the next one
// does not use them again.
func TestGenerationsAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		v := r.start()
		kept, _ := m.entry(v.id)
		for range 20 {
			r.do(v, "guest-reboot")
			pass(time.Minute)
		}
		for range 3 {
			row, _ := r.nexus.Row(v.id)
			seen := row.Acked
			m.mu.Lock()
			m.entries[v.id] = kept // nothing newer is on disk
			m.mu.Unlock()
			r.restart(m)
			pass(10 * time.Second)
			r.do(v, "guest-reboot")
			pass(time.Minute)
			row, _ = r.nexus.Row(v.id)
			if s, err := r.Show(v.id); err != nil || row.Acked <= seen || row.Acked != s.Record.VMM.Gen {
				t.Errorf("Nexus has seen generation %d, and now has %d of %d, %v", seen, row.Acked, s.Record.VMM.Gen, err)
			}
		}
	})
}

// A stop of a VM with a dead server in a running zone begins its removal as soon as the
// host reports that, and not after a timeout.
func TestStopOfADeadServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.FailServer(v.zone, "svc:/x is in maintenance")
		begun := time.Now()
		r.stop(v, nil)
		r.await(v, vmm.WireDestroyed)
		r.took(begun, 0, 5*time.Second)
	})
}

// While the host cannot report whether the server is running, nothing ends before the
// deadline.
func TestStopOfAServerThatMayBeRunning(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.SetFault(v.zone, zonetest.ServerFailed, zonetest.Fault{Fail: true})
		r.zones.FailServer(v.zone, "svc:/x is in maintenance")
		r.stop(v, d(30*time.Second))
		pass(29 * time.Second)
		if begun := r.removal(v); !begun.IsZero() {
			t.Error("it was removed before its deadline")
		}
		r.await(v, vmm.WireDestroyed)
	})
}

// A reboot before the VM has run is refused and has no effect.
func TestRebootBeforeTheFirstRunning(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		r.misbehave("refuse-run=500:Internal")
		v := r.register()
		r.run(v)
		pass(time.Minute)
		if _, err := r.Reboot(t.Context(), v.id, 0); !vmm.Refused(err, vmm.TooEarly) {
			t.Errorf("reboot: %v", err)
		}
		r.fault(v, "")
		r.await(v, vmm.WireRunning)
		r.lives(v)
	})
}

// A Propolis that reports one migration on both sides, or one that is unknown to Nexus,
// does not keep a terminal state from Nexus.
func TestMigrationsRefusedByNexus(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"both-migrations", "unknown-migration"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				r.misbehave(mode)
				v := r.start()
				begun := time.Now()
				r.stop(v, nil)
				r.await(v, vmm.WireDestroyed)
				r.took(begun, 0, 5*time.Minute)
				r.forgotten(v)
			})
		})
	}
}

// If Nexus refused a record for its migrations, the next record is offered with them
// again.
func TestNextRecordIsOfferedWithItsMigrations(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		r.misbehave("unknown-migration", "ignore-stop")
		r.nexusFault("status=400")
		v := r.register()
		r.run(v)
		pass(time.Minute)
		r.stop(v, nil)
		pass(limits.RetryInitial / 2) // refused; the next offer is without them
		r.nexusFault()
		r.stop(v, d(0))
		r.await(v, vmm.WireDestroyed)
		puts, _ := r.nexus.Puts(0)
		i := slices.IndexFunc(puts, func(p nexussim.Put) bool { return p.Record.VMM.State == vmm.WireDestroyed })
		if puts[i].Record.MigrationOut == nil {
			t.Errorf("its end was offered as %+v", puts[i].Record)
		}
	})
}

// Many repeats of a request, or of a failing step, do not remove the first events.
func TestHistoryKeepsItsBeginning(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{Fail: true})
		r.stop(v, d(0))
		pass(24 * time.Hour)
		for range 300 {
			r.stop(v, nil)
		}
		s, err := r.Show(v.id)
		if err != nil || s.Events[0].Kind != "registered" {
			t.Fatalf("the first event is %+v, %v", s.Events[0], err)
		}
		i := slices.IndexFunc(s.Events, func(e vmm.Event) bool { return e.Kind == "halt" })
		if i < 0 || s.Events[i].Times < 1000 || s.Events[i].Last == nil || s.Events[i].Error == "" {
			t.Errorf("the halt's event is %+v", s.Events[max(i, 0)])
		}
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{})
		r.await(v, vmm.WireDestroyed)
	})
}
