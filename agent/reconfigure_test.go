package agent_test

import (
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Changed limits count for requests from then on, also of VMMs that run; a deadline that is
// armed stays.
func TestReconfigure(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, r *rig) {
		r.misbehave("ignore-stop")
		pending, later := r.start(), r.start()
		first := time.Now().Add(grace)
		r.stop(pending, nil)
		changed := limits
		changed.StopGrace, changed.MaxStopGrace = time.Minute, 2*time.Minute
		r.Reconfigure(changed, time.Second)
		second, long := time.Now().Add(time.Minute), r.start()
		r.stop(later, nil)
		third := time.Now().Add(2 * time.Minute)
		r.stop(long, d(time.Hour))
		for _, c := range []struct {
			v    guest
			want time.Time
		}{{pending, first}, {later, second}, {long, third}} {
			s, err := r.Show(c.v.id)
			if err != nil || s.Deadline == nil || !s.Deadline.Equal(c.want) {
				t.Errorf("the deadline is %v, want %s; %v", s.Deadline, c.want, err)
			}
		}
		for _, v := range []guest{pending, later, long} {
			r.await(v, vmm.WireDestroyed)
		}
	})
}
