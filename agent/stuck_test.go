package agent_test

import (
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/zonetest"
)

// The reason why a zone cannot be removed is shown all the time, and not only until the
// retry, which takes as long as the halt's budget (S).
func TestStuckZoneSaysWhyWhileItIsRetried(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		v := r.start()
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{Hang: true})
		r.stop(v, d(0))
		pass(zone.Budget(zone.RungHalt) + time.Second)
		for range 600 {
			s, err := r.Show(v.id)
			if err != nil || s.Removal.LastError == "" || s.Removal.Rung != "halt" || len(admin.Troubles(s, time.Now())) == 0 {
				t.Fatalf("%s after the removal began it shows %+v, %v", time.Since(s.Removal.Begun), s.Removal, err)
			}
			pass(time.Second)
		}
		r.zones.SetFault(v.zone, zonetest.Halt, zonetest.Fault{})
		r.await(v, vmm.WireDestroyed)
		if s, err := r.Show(v.id); err != nil || s.Removal.LastError != "" || s.Removal.Gone == nil {
			t.Errorf("removed, it shows %+v, %v", s.Removal, err)
		}
	})
}
