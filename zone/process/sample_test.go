package process

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/stats"
)

func TestSample(t *testing.T) {
	t.Parallel()
	p := func(pid, ppid int, state byte, cpu time.Duration, resident uint64) proc.Info {
		return proc.Info{ID: proc.ID{PID: pid, Start: 1}, PPID: ppid, State: state, CPU: cpu, Resident: resident}
	}
	got := sample([]zone.Info{{Name: "b", PID: 10}, {Name: "a", PID: 20}, {Name: "halted"}, {Name: "ended", PID: 99}}, []proc.Info{
		p(1, 0, 'S', time.Hour, 9999), p(10, 1, 'S', 1, 10), p(11, 10, 'S', 100, 20), p(12, 11, 'Z', 50, 0),
		p(20, 1, 'S', 7, 1), p(21, 22, 'S', 1, 1), p(22, 21, 'S', 1, 1), p(30, 20, 'S', 1, 1), p(20, 30, 'S', 1, 1),
	})
	large, small := uint64(30), uint64(2)
	want := stats.Sample{Zones: []stats.Zone{
		{Name: "a", ID: 20, CPU: 2, Resident: &small},
		{Name: "b", ID: 10, CPU: 151, Resident: &large},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
