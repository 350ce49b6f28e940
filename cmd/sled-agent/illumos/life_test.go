package illumos

import (
	"slices"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
)

// minute is a grace period that no test waits for.
const minute = time.Minute

func TestWholeLife(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	v := l.launch(1)[0]
	z, _ := l.Zone(v.zone)
	if z.State != "running" || z.ServerPID == 0 {
		t.Errorf("the VMM runs and its zone is %s, with server %d", z.State, z.ServerPID)
	}
	for _, link := range z.Config.Links() {
		if !slices.Contains(names(l.Links()), link) {
			t.Errorf("the zone has no datalink %s", link)
		}
	}
	if n := len(z.Config.Links()); n != 2 {
		t.Errorf("the zone has %d datalinks, want those of its server and its guest", n)
	}
	v.stop(minute)
	v.ends(vmm.WireDestroyed)
	l.asItWas()
}

func TestUnregister(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	running, starting, registered := l.launch(1)[0], l.register(), l.register()
	starting.run()
	for _, v := range []*vm{running, starting, registered} {
		v.unregister()
		v.over = true
		if state := l.State(v.zone); state != "" {
			t.Errorf("unregistered, the zone is %s", state)
		}
	}
	l.asItWas()
}

// Whatever Propolis does instead of stopping, the removal begins at the deadline (D).
func TestForcedStop(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	modes := []string{"ignore-stop", "hang-stop", "stay-stopping"}
	vms, stops := l.launch(len(modes)), make([]stop, len(modes))
	for i, v := range vms {
		v.lies(modes[i])
		stops[i] = v.stop(time.Second)
	}
	for i, v := range vms {
		t.Log(modes[i])
		v.removedOnTime(stops[i])
		v.ends(vmm.WireDestroyed)
	}
}

// A server that dies while it stops is started again by SMF, without its VM:
// that is a stop (T).
func TestCrashDuringStop(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	modes := []string{"crash-on-stop", "crash-in-stopping"}
	vms := l.launch(len(modes))
	for i, v := range vms {
		v.lies(modes[i])
		v.stop(minute)
	}
	for _, v := range vms {
		v.ends(vmm.WireDestroyed)
	}
}
