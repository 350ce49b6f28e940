package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// Twenty VMMs that lie about their stops are removed on time, all of them (D).
func TestTwentyLiarsAtOnce(t *testing.T) {
	l := newSled(t, setup{})
	vms := l.launchMany(20)
	stops := stopAll(vms, 2*time.Second, "hang-stop", "hang-monitor")
	for i, v := range vms {
		v.removedOnTime(stops[i])
	}
	for _, v := range vms {
		v.endsDestroyed()
	}
}

// Snapshots that never come back, more than there is room for, take nothing from
// the other VMM, from reading states or from a stop (Q, C, D).
func TestHangingSnapshots(t *testing.T) {
	l := newSled(t, setup{})
	stuck, other := l.launch(), l.launch()
	stuck.lies("hang-snapshot", "hang-stop")
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() { _, _ = l.ask(ctx, "POST", stuck.snapshotPath(), snapshotBody()) })
	}
	trial.Until(t, trial.Patience, func() string {
		if n := stuck.calls()["snapshot"]; n == 0 {
			return "no snapshot request has arrived"
		}
		return ""
	})
	for range 20 {
		stuck.state().quick(t).wants(t, http.StatusOK)
		other.state().quick(t).wants(t, http.StatusOK)
	}
	if got := l.call("POST", other.snapshotPath(), snapshotBody()).quick(t); got.status >= 500 {
		t.Errorf("a snapshot of the other VMM: %v", got)
	}
	l.call("GET", "/zones", nil).quick(t).wants(t, http.StatusOK)
	third := l.launch()
	s := stuck.stop(grace)
	other.stop(time.Minute)
	stuck.removedOnTime(s)
	stuck.endsDestroyed()
	other.endsDestroyed()
	third.stop(time.Minute)
	third.endsDestroyed()
	cancel()
	wg.Wait()
}

func (v *vm) snapshotPath() string {
	return fmt.Sprintf("/vmms/%s/disks/%s/snapshot", v.id, uuid.New())
}

func snapshotBody() []byte { return fmt.Appendf(nil, `{"snapshot_id":%q}`, uuid.New()) }

// quick fails the test if the answer took a second.
func (a answer) quick(t *testing.T) answer {
	t.Helper()
	if a.took > time.Second {
		t.Errorf("answered after %v: %v", a.took, a)
	}
	return a
}

// VMMs that hang in every way, at the same time, delay nobody (Q).
func TestStuckVMMsDelayNobody(t *testing.T) {
	l := newSled(t, setup{})
	var stuck []*vm
	for _, lie := range []string{"hang-all", "deaf-all", "mute-all", "trickle-all=1h"} {
		v := l.launch()
		v.lies(lie)
		stuck = append(stuck, v)
	}
	for _, v := range stuck {
		v.stop(never)
	}
	for range 3 {
		v := l.launch()
		for _, s := range stuck {
			s.state().quick(t).wants(t, http.StatusOK)
		}
		s := v.stop(time.Minute)
		v.removedAtOnce(s.sent)
		v.endsDestroyed()
	}
	stops := stopAll(stuck, grace)
	for i, v := range stuck {
		v.removedOnTime(stops[i])
		v.endsDestroyed()
	}
}

// A life leaves nothing in the agent either: after many of them it has no more
// descriptors than after a few (L).
func TestLivesLeaveNoDescriptors(t *testing.T) {
	l := newSled(t, setup{})
	live := func(n int) {
		vms := l.launchMany(n)
		for i, v := range vms {
			v.lies([]string{"ignore-stop", "hang-all", "crash-on-stop"}[i%3])
		}
		for _, s := range stopAllNow(vms) {
			_ = s
		}
		for _, v := range vms {
			v.endsDestroyed()
		}
	}
	live(4)
	before := descriptors(l.pid())
	live(4)
	live(4)
	trial.Until(t, 10*time.Second, func() string {
		if now := descriptors(l.pid()); now > before+2 {
			return fmt.Sprintf("the agent has %d descriptors and had %d", now, before)
		}
		return ""
	})
}

// stopAllNow stops VMMs with hardly any grace.
func stopAllNow(vms []*vm) []stop { return stopAll(vms, 100*time.Millisecond) }

// descriptors counts what a process has open; 0 where there is no /proc.
func descriptors(pid int) int { return len(entries(fmt.Sprintf("/proc/%d/fd", pid))) }
