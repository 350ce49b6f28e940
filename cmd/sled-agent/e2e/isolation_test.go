package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Many VMMs that do not stop are all removed at their deadlines (D). If Nexus fails meanwhile, all ends
// still arrive there.
func TestManyStopsAtOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string][]string{"well": nil, "failing": {"fail-percent=60"}} {
		t.Run("Nexus is "+name, func(t *testing.T) {
			h := newHarness(t, setup{})
			vms := h.launchMany(16)
			h.nexus.setFaults(fault...)
			stopAllAtDeadline(vms, 2*time.Second, "hang-stop", "hang-monitor")
		})
	}
}

// More hanging snapshots than there is room for do not affect the other VMM, reads of states or stops
// (Q, C, D).
func TestHangingSnapshots(t *testing.T) {
	h := newHarness(t, setup{})
	stuck, other := h.launch(), h.launch()
	stuck.setFaults("hang-snapshot", "hang-stop")
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { _, _ = stuck.ask(ctx, "POST", stuck.snapshotPath(), snapshotBody()) })
	}
	waitFor(t, func() string {
		if n := stuck.calls()["snapshot"]; n == 0 {
			return "no snapshot request has arrived"
		}
		return ""
	})
	for range 20 {
		stuck.record()
		other.record()
	}
	if got := h.call("POST", other.snapshotPath(), snapshotBody()); got.status >= 500 {
		t.Errorf("a snapshot of the other VMM: %v", got)
	}
	h.call("GET", "/zones", nil).wants(t, http.StatusOK)
	third := h.launch()
	s := stuck.stop(grace)
	other.stop(time.Minute)
	stuck.removedAtDeadline(s)
	stuck.endsDestroyed()
	other.endsDestroyed()
	third.stopAndEnd()
	cancel()
	wg.Wait()
}

func (v *vm) snapshotPath() string {
	return fmt.Sprintf("/vmms/%s/disks/%s/snapshot", v.id, uuid.New())
}

func snapshotBody() []byte { return fmt.Appendf(nil, `{"snapshot_id":%q}`, uuid.New()) }

// VMMs that hang in every way at the same time delay no other (Q): a call that waited for one of them
// would wait for an hour.
func TestStuckVMMsDelayNoOther(t *testing.T) {
	h := newHarness(t, setup{propolis: section{"request_timeout": "1h"}})
	var stuck []*vm
	for _, fault := range []string{"hang-all", "deaf-all", "mute-all", "trickle-all=1h"} {
		stuck = append(stuck, faults(fault).launch(h))
	}
	for _, v := range stuck {
		v.stop(never)
	}
	for range 3 {
		v := h.launch()
		for _, s := range stuck {
			s.record()
		}
		v.stopAndEnd()
	}
	stopAllAtDeadline(stuck, grace)
}

// Ended VMMs leave nothing in the agent: after many of them it has no more descriptors than after a few
// (L).
func TestEndedVMMsLeaveNoDescriptors(t *testing.T) {
	h := newHarness(t, setup{})
	live := func(n int) {
		vms := h.launchMany(n)
		for i, v := range vms {
			v.setFaults([]string{"ignore-stop", "hang-all", "crash-on-stop"}[i%3])
		}
		stopAll(vms, 100*time.Millisecond)
		for _, v := range vms {
			v.endsDestroyed()
		}
	}
	live(4)
	before := descriptors(h.agent().pid())
	live(4)
	live(4)
	waitFor(t, func() string {
		if now := descriptors(h.agent().pid()); now > before+2 {
			return fmt.Sprintf("the agent has %d descriptors and had %d", now, before)
		}
		return ""
	})
}
