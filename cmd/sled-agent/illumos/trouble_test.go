package illumos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// refusal is why the host does not let go of a zone, in the tests that have one.
const refusal = "unable to destroy zone: references are held"

// refuses makes each halt of the zone fail in a state, which it does not leave.
func (v *vm) refuses(state string) *illumostest.Injected {
	return v.Inject(illumostest.Fault{Do: illumostest.Fail, When: illumostest.During, Command: "zoneadmd", Verb: "halt",
		Object: v.zone, State: state, Exit: 1, Text: refusal})
}

// shownAsStuck waits until the admin API has said what the zone is and why, in
// two looks of which the second was taken while it is retried.
func (v *vm) shownAsStuck(state string) {
	v.t.Helper()
	first := 0
	v.until("the admin API shows a zone that is "+state, func() bool {
		s := v.status()
		r := s.Removal
		if r == nil || r.LastError == "" || r.ZoneState != state {
			return false
		}
		if first == 0 {
			first = r.Attempt
		}
		said := strings.Join(admin.Troubles(s, time.Now()), "\n")
		if !strings.Contains(said, refusal) || !strings.Contains(said, "halt") {
			v.t.Errorf("its troubles are: %s", said)
		}
		return r.Attempt > first
	})
	if r := v.status().Removal; r.LastError == "" {
		v.t.Errorf("between two attempts the reason is forgotten: %+v", *r)
	}
}

// teardown are the states of a zone that is being halted.
var teardown = []string{"shutting_down", "down"}

// Zones that the host does not let go of are shown, retried and removed when that
// is possible; others do not notice (Z, Q, S).
func TestZoneRefusesToGo(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	vms := l.launch(3)
	stuck, other := vms[:2], vms[2]
	for i, v := range stuck {
		v.refuses(teardown[i])
		v.removedOnTime(v.stop(0))
	}
	for i, v := range stuck {
		v.shownAsStuck(teardown[i])
	}
	l.othersLive(other)
	for i, v := range stuck {
		if got := l.State(v.zone); got != teardown[i] {
			t.Errorf("the zone is %q, which should be stuck in %q", got, teardown[i])
		}
	}
	l.ReleaseAll()
	for _, v := range stuck {
		v.ends(vmm.WireDestroyed)
	}
}

// othersLive checks that a VMM can be stopped, and another be made and stopped.
func (l *sled) othersLive(v *vm) {
	l.t.Helper()
	v.stop(minute)
	v.ends(vmm.WireDestroyed)
	next := l.launch(1)[0]
	next.stop(minute)
	next.ends(vmm.WireDestroyed)
}

// A halt that does not return is shown, holds up nobody, and goes on across a
// restart (S, Q, R).
func TestHaltHangs(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	vms := l.launch(3)
	stuck, other := vms[:2], vms[2]
	for i, v := range stuck {
		l.Inject(illumostest.Fault{Do: illumostest.Stuck, Object: v.zone, State: teardown[i]})
		v.removedOnTime(v.stop(0))
	}
	for i, v := range stuck {
		l.until("the zone is shown as "+teardown[i], func() bool { return v.status().Removal.ZoneState == teardown[i] })
		if why := v.status().Removal.LastError; why != "" {
			t.Errorf("that took until the halt had failed: %s", why)
		}
	}
	l.othersLive(other)
	l.restart()
	for _, v := range stuck {
		if s := v.status(); s.Record.VMM.State != vmm.WireStopping || s.WaitsFor == "" {
			t.Errorf("meanwhile the VMM is %s and waits for %q", s.Record.VMM.State, s.WaitsFor)
		}
	}
	l.ReleaseAll()
	for _, v := range stuck {
		v.ends(vmm.WireDestroyed)
	}
}

// A zoneadmd that dies leaves its zone half torn down: the next halt goes on.
func TestZoneadmdDiesInHalt(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	vms := l.launch(len(teardown))
	var deaths []*illumostest.Injected
	for i, v := range vms {
		deaths = append(deaths, l.Inject(dying(v, teardown[i])))
		v.stop(0)
	}
	for i, v := range vms {
		v.ends(vmm.WireDestroyed)
		if deaths[i].Struck() != 1 {
			t.Errorf("no zoneadmd has died of a zone that was %s", teardown[i])
		}
	}
}

// dying is the death of the zone's zoneadmd during a halt.
func dying(v *vm, state string) illumostest.Fault {
	return illumostest.Fault{Do: illumostest.Die, When: illumostest.During, Command: "zoneadmd", Verb: "halt",
		Object: v.zone, State: state, Times: 1}
}

// zoneadm boot exits with 0 for a zone that is shutting down, which is no boot.
func TestBootOfAZoneThatShutsDown(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	v := l.register()
	boot := l.Inject(illumostest.Fault{Do: illumostest.Hang, Command: "zoneadm", Verb: "boot", Object: v.zone, Times: 1})
	v.run()
	boot.WaitStruck(1)
	l.Inject(dying(v, "shutting_down"))
	l.Run("zoneadm", "-z", v.zone, "boot")
	l.Run("zoneadm", "-z", v.zone, "halt")
	if got := l.State(v.zone); got != "shutting_down" {
		t.Fatalf("the zone is %q", got)
	}
	boot.Release()
	if why := v.event("start-failed").Error; !strings.Contains(why, "after zoneadm boot it is shutting_down") {
		t.Errorf("the start failed with %q", why)
	}
	v.ends(vmm.WireFailed)
}

// A server that SMF gives up is a start that failed, with what SMF says and the
// end of the server's log (E, S).
func TestMaintenance(t *testing.T) {
	t.Parallel()
	l := newSled(t, nil).start()
	v := l.register()
	l.Inject(illumostest.Fault{Do: illumostest.Maintenance, Object: v.zone})
	boot := l.Inject(illumostest.Fault{Do: illumostest.Hang, Command: "zoneadm", Verb: "boot", Object: v.zone, Times: 1})
	v.run()
	boot.WaitStruck(1)
	v.writeLog("no hypervisor here")
	boot.Release()
	why := v.event("start-failed").Error
	for _, want := range []string{"is in maintenance: svcs: " + illumostest.DefaultService, "State: maintenance",
		"its log: no hypervisor here"} {
		if !strings.Contains(why, want) {
			t.Errorf("the start failed with %q, which has no %q", why, want)
		}
	}
	if e := v.event("evidence"); e.Text != "no hypervisor here" {
		t.Errorf("the evidence is %q", e.Text)
	}
	v.ends(vmm.WireFailed)
}

// writeLog writes the server's log, in SMF's place.
func (v *vm) writeLog(line string) {
	v.t.Helper()
	dir := filepath.Join(v.ZoneRoot(), v.zone, "root/var/svc/log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		v.t.Fatal(err)
	}
	file := filepath.Join(dir, "system-illumos-propolis-server:default.log")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o644); err != nil {
		v.t.Fatal(err)
	}
}
