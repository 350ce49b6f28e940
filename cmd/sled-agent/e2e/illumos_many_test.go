package e2e

import (
	"testing"
	"time"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// Of many zones that are removed at once, one that the host does not let go of
// delays no other, and is not forgotten by the next agent (Z, Q, R). It runs beside
// no other test: the processes are too many for a pace that could be compared.
func TestManyWithOneStuck(t *testing.T) {
	const zones = 50
	l, g := newIllumosSled(t, setup{alone: true})
	begun := time.Now()
	vms := l.launchMany(zones)
	t.Logf("%d VMMs run after %v", zones, time.Since(begun))
	v, others := vms[0], vms[1:]
	stuck := v.refuses(g, "down")
	begun = time.Now()
	stops := make([]stop, zones)
	for i, v := range vms {
		stops[i] = v.stop(0)
	}
	v.shownAsStuck("down")
	for _, other := range others {
		other.row(trial.Patience, "ended", acknowledged)
	}
	t.Logf("%d are gone after %v", len(others), time.Since(begun))
	for i, v := range vms {
		v.removedOnTime(stops[i])
	}
	for _, other := range others {
		other.endsDestroyed()
	}
	l.restart()
	v.shownAsStuck("down")
	if zones := names(g.Zones()); len(zones) != 1 || zones[0] != v.zone() {
		t.Errorf("the zones left are %v, want %s", zones, v.zone())
	}
	stuck.Release()
	v.endsDestroyed()
}
