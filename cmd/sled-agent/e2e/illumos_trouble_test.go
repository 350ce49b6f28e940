package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// refusal is why the host does not let go of a zone, in the tests that have one.
const refusal = "unable to destroy zone: references are held"

// refuses makes each halt of the zone fail in a state, which it does not leave.
func (v *vm) refuses(g *illumosGround, state string) *illumostest.Injected {
	return g.Inject(illumostest.Fault{Do: illumostest.Fail, When: illumostest.During, Command: "zoneadmd", Verb: "halt",
		Object: v.zone(), State: state, Exit: 1, Text: refusal})
}

// shownAsStuck waits until the admin API has said what the zone is and why, in
// two looks of which the second was taken while it is retried.
func (v *vm) shownAsStuck(state string) {
	v.t.Helper()
	first := 0
	trial.Until(v.t, trial.Patience, func() string {
		s := v.status()
		r := s.Removal
		if r == nil || r.LastError == "" || r.ZoneState != state {
			return fmt.Sprintf("the zone is not shown as %s: %+v", state, r)
		}
		said := strings.Join(admin.Troubles(s, time.Now()), "\n")
		if !strings.Contains(said, refusal) || !strings.Contains(said, "halt") {
			return "its troubles are: " + said
		}
		if first == 0 {
			first = r.Attempt
		}
		if r.Attempt == first {
			return "the removal is not retried"
		}
		return ""
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
	l, g := newIllumosSled(t, setup{})
	vms := l.launchMany(3)
	stuck, other := vms[:2], vms[2]
	for i, v := range stuck {
		v.refuses(g, teardown[i])
		v.removedOnTime(v.stop(0))
	}
	for i, v := range stuck {
		v.shownAsStuck(teardown[i])
	}
	l.othersLive(other)
	for i, v := range stuck {
		if got := g.State(v.zone()); got != teardown[i] {
			t.Errorf("the zone is %q, which should be stuck in %q", got, teardown[i])
		}
	}
	g.ReleaseAll()
	for _, v := range stuck {
		v.endsDestroyed()
	}
}

// othersLive checks that a VMM can be stopped, and another be made and stopped.
func (l *sled) othersLive(v *vm) {
	l.t.Helper()
	v.stop(time.Minute)
	v.endsDestroyed()
	next := l.launch()
	next.stop(time.Minute)
	next.endsDestroyed()
}

// A halt that does not return is shown, holds up nobody, and goes on across a
// restart (S, Q, R).
func TestHaltHangs(t *testing.T) {
	l, g := newIllumosSled(t, setup{})
	vms := l.launchMany(3)
	stuck, other := vms[:2], vms[2]
	for i, v := range stuck {
		g.Inject(illumostest.Fault{Do: illumostest.Stuck, Object: v.zone(), State: teardown[i]})
		v.removedOnTime(v.stop(0))
	}
	for i, v := range stuck {
		trial.Until(t, trial.Patience, func() string {
			if r := v.status().Removal; r == nil || r.ZoneState != teardown[i] {
				return fmt.Sprintf("the zone is not shown as %s: %+v", teardown[i], r)
			}
			return ""
		})
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
	g.ReleaseAll()
	for _, v := range stuck {
		v.endsDestroyed()
	}
}

// A zoneadmd that dies leaves its zone half torn down: the next halt goes on.
func TestZoneadmdDiesInHalt(t *testing.T) {
	l, g := newIllumosSled(t, setup{})
	vms := l.launchMany(len(teardown))
	var deaths []*illumostest.Injected
	for i, v := range vms {
		deaths = append(deaths, g.Inject(dying(v, teardown[i])))
		v.stop(0)
	}
	for i, v := range vms {
		v.endsDestroyed()
		if deaths[i].Struck() != 1 {
			t.Errorf("no zoneadmd has died of a zone that was %s", teardown[i])
		}
	}
}

// dying is the death of the zone's zoneadmd during a halt.
func dying(v *vm, state string) illumostest.Fault {
	return illumostest.Fault{Do: illumostest.Die, When: illumostest.During, Command: "zoneadmd", Verb: "halt",
		Object: v.zone(), State: state, Times: 1}
}

// zoneadm boot exits with 0 for a zone that is shutting down, which is no boot.
func TestBootOfAZoneThatShutsDown(t *testing.T) {
	l, g := newIllumosSled(t, setup{})
	v := l.register()
	boot := g.Inject(illumostest.Fault{Do: illumostest.Hang, Command: "zoneadm", Verb: "boot", Object: v.zone(), Times: 1})
	v.run()
	boot.WaitStruck(1)
	g.Inject(dying(v, "shutting_down"))
	g.Run("zoneadm", "-z", v.zone(), "boot")
	g.Run("zoneadm", "-z", v.zone(), "halt")
	if got := g.State(v.zone()); got != "shutting_down" {
		t.Fatalf("the zone is %q", got)
	}
	boot.Release()
	if why := v.event("start-failed").Error; !strings.Contains(why, "after zoneadm boot it is shutting_down") {
		t.Errorf("the start failed with %q", why)
	}
	v.endsFailed()
}

// A server that SMF gives up is a start that failed, with what SMF says and the
// end of the server's log (E, S).
func TestMaintenance(t *testing.T) {
	l, g := newIllumosSled(t, setup{})
	v := l.register()
	g.Inject(illumostest.Fault{Do: illumostest.Maintenance, Object: v.zone()})
	boot := g.Inject(illumostest.Fault{Do: illumostest.Hang, Command: "zoneadm", Verb: "boot", Object: v.zone(), Times: 1})
	v.run()
	boot.WaitStruck(1)
	v.writeLog(g, "no hypervisor here")
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
	v.endsFailed()
}

// writeLog writes the server's log, in SMF's place.
func (v *vm) writeLog(g *illumosGround, line string) {
	v.t.Helper()
	dir := filepath.Join(g.ZoneRoot(), v.zone(), "root/var/svc/log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		v.t.Fatal(err)
	}
	file := filepath.Join(dir, "system-illumos-propolis-server:default.log")
	if err := os.WriteFile(file, []byte(line+"\n"), 0o644); err != nil {
		v.t.Fatal(err)
	}
}
