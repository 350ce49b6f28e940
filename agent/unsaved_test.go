package agent_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/ledger"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone/zonetest"
)

func newDisk() *chaosJournal {
	return newChaosJournal(&dice{n: map[string]uint64{}}, &disk{entries: map[uuid.UUID]ledger.Entry{}})
}

// A zone that was not booted according to the ledger is created again by the next process,
// so no VM may run in it.
func TestNoVMIsCreatedBeforeItsBootIsSaved(t *testing.T) {
	t.Parallel()
	j := newDisk()
	bubbleWith(t, j, func(t *testing.T, r *rig) {
		r.zones.SetFault("", zonetest.Boot, zonetest.Fault{Delay: 5 * time.Second})
		v := r.register()
		r.run(v)
		j.turn(diskFails)
		pass(5 * time.Minute)
		if s := r.sim(v).Status(); s.VM != nil {
			t.Errorf("the server was given %+v", s.VM)
		}
		if s, err := r.Show(v.id); err != nil || s.Degraded == "" {
			t.Errorf("it shows %q, %v", s.Degraded, err)
		}
		j.turn(diskWorks)
		r.await(v, vmm.WireRunning)
		r.stop(v, d(0))
		r.await(v, vmm.WireDestroyed)
	})
}

// A start that waits for the ledger can be stopped.
func TestStartThatWaitsForTheLedgerIsStopped(t *testing.T) {
	t.Parallel()
	j := newDisk()
	bubbleWith(t, j, func(t *testing.T, r *rig) {
		r.zones.SetFault("", zonetest.Boot, zonetest.Fault{Delay: 5 * time.Second})
		v := r.register()
		r.run(v)
		j.turn(diskFails)
		pass(time.Minute)
		r.stop(v, d(0))
		r.await(v, vmm.WireDestroyed)
		pass(time.Second)
		r.forgotten(v)
		j.turn(diskWorks)
	})
}

// A state that is not on disk is shown as degraded until it is, whatever else happens.
func TestDegradedIsShownUntilItIsOnDisk(t *testing.T) {
	t.Parallel()
	j := newDisk()
	bubbleWith(t, j, func(t *testing.T, r *rig) {
		v := r.start()
		j.turn(diskFails)
		r.do(v, "guest-reboot")
		pass(time.Minute)
		r.fault(v, "hang-all") // nothing that is saved changes by this
		for range 60 {
			pass(time.Second)
			if s, err := r.Show(v.id); err != nil || s.Degraded == "" {
				t.Fatalf("it shows %q, %v, unsure %+v", s.Degraded, err, s.Unsure)
			}
		}
		if s, _ := r.Show(v.id); len(s.Unsure) == 0 {
			t.Error("nothing has happened to the VMM")
		}
		j.turn(diskWorks)
		pass(time.Second)
		if s, err := r.Show(v.id); err != nil || s.Degraded != "" {
			t.Errorf("everything is on disk, but it shows %q, %v", s.Degraded, err)
		}
		r.fault(v, "slow-all=0s")
		r.stop(v, d(0))
		r.await(v, vmm.WireDestroyed)
	})
}
