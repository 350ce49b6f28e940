package agent_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// lives verifies that a VMM runs and is not being removed.
func (r *rig) lives(v guest) {
	r.t.Helper()
	s, err := r.Show(v.id)
	if err != nil || s.Record.VMM.State != vmm.WireRunning || s.Removal != nil {
		r.t.Fatalf("it is %s (%s), removal %+v, %v", s.Record.VMM.State, s.Reason, s.Removal, err)
	}
}

// What is unknown ends nothing: it is shown, retried and counted, and moves no deadline; a
// stop at that time ends on time.
func TestIgnoranceEndsNothing(t *testing.T) {
	t.Parallel()
	tests := map[string]func(r *rig, v guest){
		"looks fail": func(r *rig, v guest) {
			r.zones.SetFault(v.zone, zonetest.Look, zonetest.Fault{Fail: true})
			r.zones.Unlist(v.zone)
		},
		"looks hang": func(r *rig, v guest) {
			r.zones.SetFault(v.zone, zonetest.Look, zonetest.Fault{Hang: true})
			r.zones.Unlist(v.zone)
		},
		"looks hang and are deaf": func(r *rig, v guest) {
			r.zones.SetFault(v.zone, zonetest.Look, zonetest.Fault{Hang: true, Deaf: true})
			r.zones.Unlist(v.zone)
		},
	}
	for name, blind := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) {
				r.misbehave("ignore-stop")
				v := r.start()
				blind(r, v)
				pass(time.Hour)
				r.lives(v)
				s, _ := r.Show(v.id)
				if len(s.Unsure) != 1 || s.Unsure[0].Of != vmm.OfZone || s.Unsure[0].Why == "" || s.Unsure[0].Asked < 100 || r.Unsure() == 0 {
					t.Errorf("it shows %+v, %d are counted", s.Unsure, r.Unsure())
				}
				deadline := time.Now().Add(grace)
				r.stop(v, nil)
				pass(grace)
				if begun := r.removal(v); !begun.Equal(deadline) {
					t.Errorf("removal began at %s, the deadline was %s", begun, deadline)
				}
				r.zones.SetFault(v.zone, zonetest.Look, zonetest.Fault{})
				r.zones.Unhang()
				r.await(v, vmm.WireDestroyed)
				r.forgotten(v)
			})
		})
	}
}

// A doubt ends with the next answer, and leaves its events.
func TestDoubtEndsWithAnAnswer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.SetFault(v.zone, zonetest.Look, zonetest.Fault{Fail: true, Times: 3})
		r.zones.Unlist(v.zone)
		pass(time.Minute)
		r.lives(v)
		s, _ := r.Show(v.id)
		var kinds []string
		for _, e := range s.Events {
			kinds = append(kinds, e.Kind)
		}
		if len(s.Unsure) != 0 || !strings.Contains(strings.Join(kinds, " "), "unsure sure") {
			t.Errorf("it shows %+v and %v", s.Unsure, kinds)
		}
	})
}

// A list that lacks zones, or fails, proves nothing.
func TestListsEndNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.Unlist(v.zone)
		pass(time.Hour)
		r.lives(v)
		r.zones.SetFault("", zonetest.List, zonetest.Fault{Fail: true})
		pass(time.Hour)
		r.lives(v)
	})
}

// A list that hangs for ever delays nothing, also not Close.
func TestHangingListDelaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.zones.SetFault("", zonetest.List, zonetest.Fault{Hang: true, Deaf: true})
		pass(time.Minute)
		v := r.start()
		r.stop(v, nil)
		r.await(v, vmm.WireDestroyed)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := r.Agent.Close(ctx); err == nil || time.Since(begun) > time.Second {
			t.Errorf("closed after %s: %v", time.Since(begun), err)
		}
		r.zones.Unhang()
		r.close()
	})
}

// The look after a boot may fail without ending the start.
func TestStartSurvivesFailingLooks(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		r.zones.SetFault("", zonetest.Look, zonetest.Fault{Fail: true, Times: 4})
		v := r.start()
		r.lives(v)
	})
}

// A temporary shortage of the host is retried, and so is a start that did not learn whether its zone
// exists.
func TestStartRetriesTemporaryShortage(t *testing.T) {
	t.Parallel()
	for _, op := range []zonetest.Op{zonetest.Create, zonetest.Boot} {
		for _, as := range []error{zone.ErrBusy, zone.ErrUnsure} {
			bubble(t, func(t *testing.T, r *rig) {
				r.zones.SetFault("", op, zonetest.Fault{Fail: true, As: as, Times: 5})
				v := r.start()
				r.lives(v)
			})
		}
	}
}

// A VMM at an address whose last user is being removed waits for it.
func TestStartWaitsForItsAddress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		first := r.start()
		r.zones.SetFault(first.zone, zonetest.Halt, zonetest.Fault{Hang: true})
		r.stop(first, d(0))
		second := r.registerWith(wire.BodyOptions{PropolisAddr: first.addr})
		r.run(second)
		pass(time.Minute)
		if record, err := r.State(second.id); err != nil || record.VMM.State != vmm.WireStarting {
			t.Errorf("it is %s, %v", record.VMM.State, err)
		}
		r.zones.SetFault(first.zone, zonetest.Halt, zonetest.Fault{})
		r.zones.Unhang()
		r.await(second, vmm.WireRunning)
		r.await(first, vmm.WireDestroyed)
	})
}

// Spellings of the same address are equal.
func TestOneAddressSpelledInTwoWays(t *testing.T) {
	t.Parallel()
	for first, second := range map[string]string{
		"127.0.0.1:7000": "[::ffff:127.0.0.1]:7000", "[::ffff:127.0.0.1]:7001": "127.0.0.1:7001", "[::1]:7002": "[::1%1]:7002",
	} {
		bubble(t, func(t *testing.T, r *rig) {
			a := r.registerWith(wire.BodyOptions{PropolisAddr: netip.MustParseAddrPort(first)})
			r.run(a)
			r.await(a, vmm.WireRunning)
			b := r.registerWith(wire.BodyOptions{PropolisAddr: netip.MustParseAddrPort(second)})
			r.run(b)
			r.await(b, vmm.WireFailed)
			pass(time.Hour)
			r.lives(a)
		})
	}
}

// If a server reports that it already has a VM, it must be ours. The VM of another instance
// is not used, and not asked to run.
func TestServerWithAnotherVM(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		r.misbehave("mute-ensure", "wrong-instance")
		v := r.register()
		r.run(v)
		pass(time.Minute)
		r.fault(v, "wrong-instance")
		r.restart(m)
		r.await(v, vmm.WireFailed)
		if s, err := r.Show(v.id); err != nil || !strings.Contains(s.Reason, "the VM of another instance") {
			t.Errorf("the reason is %q, %v", s.Reason, err)
		}
		r.forgotten(v)
	})
}

// The request to create the VM may have been sent before a restart of the agent: the
// server's state decides as soon as it is known.
func TestServerThatCreatesOurVMAlready(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		r.misbehave("stay-creating")
		v := r.register()
		r.run(v)
		pass(time.Minute)
		if s, err := r.Show(v.id); err != nil || s.Phase != "ensuring" {
			t.Fatalf("it is in phase %s, %v", s.Phase, err)
		}
		r.restart(m)
		pass(time.Minute)
		r.fault(v, "")
		r.await(v, vmm.WireRunning)
		r.lives(v)
	})
}

// While the VM is being created, "no VM" means "not yet": Run and Stop are retried, and the
// VM runs in the end.
func TestNoVMWhileItIsCreatedIsNoEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		r.misbehave("refuse-run=424:NoInstance")
		v := r.register()
		r.run(v)
		pass(time.Minute)
		r.fault(v, "")
		r.await(v, vmm.WireRunning)
	})
}

// After a host's boot only what the host reports as ended has ended: a VM whose zone
// incarnation still runs continues, whatever the boot id.
func TestOtherBootIDEndsNoRunningVM(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		v, dead := r.start(), r.start()
		r.end()
		r.zones.Put(dead.zone, zone.Installed)
		r.begin(m, r.loaded(m, func(l *ledger.Loaded) { l.HostRebooted = true }))
		pass(time.Minute)
		r.lives(v)
		r.await(dead, vmm.WireFailed)
		if s, err := r.Show(dead.id); err != nil || !strings.Contains(s.Reason, "the host has rebooted: zone is installed") {
			t.Errorf("the reason is %q, %v", s.Reason, err)
		}
	})
}

// A VMM's zone keeps the name with which it was created, whatever the prefix is now.
func TestZonesKeepTheirNames(t *testing.T) {
	t.Parallel()
	m := newMemory()
	bubbleWith(t, m, func(t *testing.T, r *rig) {
		v := r.start()
		r.end()
		r.prefix = "oxz_other_"
		r.begin(m, r.loaded(m, nil))
		pass(time.Minute)
		r.lives(v)
		if made, ok := r.zones.Recalled(v.zone); !ok || made.Path == "" {
			t.Errorf("recalled %+v, %v", made, ok)
		}
		r.stop(v, nil)
		r.await(v, vmm.WireDestroyed)
		r.forgotten(v)
	})
}

// Orphan zones are kept while the ledger is fresh.
func TestFreshLedgerRemovesNoZone(t *testing.T) {
	t.Parallel()
	fresh := &freshLedger{Memory: ledger.NewMemory(0), fresh: true}
	synctest.Test(t, func(t *testing.T) {
		r := newRigOn(t, fresh, func(r *rig) { r.zones.Put(prefix+"lost", zone.Running) })
		pass(time.Hour)
		if i, err := r.zones.Look(t.Context(), prefix+"lost"); err != nil || i.State != zone.Running || r.Orphans() != 1 {
			t.Errorf("the zone is %s, %d orphans, %v", i.State, r.Orphans(), err)
		}
		r.zones.SetFault("", zonetest.List, zonetest.Fault{Fail: true, As: zone.ErrPartial})
		r.zones.Unlist(prefix + "lost")
		pass(time.Minute)
		if !fresh.Fresh() {
			t.Error("an incomplete list of zones has settled the ledger")
		}
		r.zones.SetFault("", zonetest.List, zonetest.Fault{})
		r.zones.Put(prefix+"lost", zone.Absent)
		pass(time.Minute)
		r.zones.Put(prefix+"found", zone.Running)
		pass(time.Minute)
		if i, err := r.zones.Look(t.Context(), prefix+"found"); err != nil || i.State != zone.Absent {
			t.Errorf("once settled, the zone is %s, %v", i.State, err)
		}
		r.close()
	})
}

// A VMM that the ledger may have held but cannot be read is not reported as unknown, and no
// other is begun under its id; one that is known to have ended is unknown as always.
func TestUnreadableVMMIsNotUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := &lostLedger{ledger.NewMemory(0)}
		r := newRigOn(t, lost, func(*rig) {})
		id, ended := uuid.New(), uuid.New()
		lost.Drop(ended, &vmm.Status{ID: ended})
		reg := wiretest.Registration(wire.BodyOptions{})
		_, err := r.State(id)
		_, stopped := r.Stop(t.Context(), id, nil, 0)
		_, unregistered := r.Unregister(t.Context(), id)
		_, shown := r.Show(id)
		_, registered := r.Register(t.Context(), id, reg)
		for what, err := range map[string]error{"state": err, "stop": stopped, "unregister": unregistered, "show": shown, "register": registered} {
			if !vmm.Refused(err, vmm.Unreadable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := r.State(ended); !vmm.Refused(err, vmm.Unknown) {
			t.Errorf("an ended one: %v", err)
		}
		r.close()
	})
}

type lostLedger struct{ ledger.Memory }

func (lostLedger) Lost() string { return "1 in ledger.db.damaged-1" }

type freshLedger struct {
	ledger.Memory
	fresh bool
}

func (f *freshLedger) Fresh() bool { return f.fresh }
func (f *freshLedger) Settle()     { f.fresh = false }
