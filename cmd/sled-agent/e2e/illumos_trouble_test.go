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
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// refusal is the host's reason for not destroying a zone, in these tests.
const refusal = "unable to destroy zone: references are held"

// refuses makes each halt of the zone fail in a state, in which it stays.
func (v *vm) refuses(b *illumosBackend, state string) *illumostest.Injected {
	return b.Inject(illumostest.Fault{Do: illumostest.Fail, When: illumostest.During, Command: "zoneadmd", Verb: "halt",
		Object: v.zone(), State: state, Exit: 1, Text: refusal})
}

// shownAsStuck waits until the admin API has reported the zone's state and the reason twice, the second
// time during a retry.
func (v *vm) shownAsStuck(state string) {
	v.t.Helper()
	first := 0
	waitFor(v.t, func() string {
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

// teardown are the states of a zone during a halt.
var teardown = []string{"shutting_down", "down"}

// Zones that the host refuses to destroy are reported, retried, and removed when that becomes possible.
// They do not affect others (Z, Q, S).
func TestZoneRefusesToGo(t *testing.T) {
	h, b := newIllumosHarness(t, setup{})
	vms := h.launchMany(3)
	stuck, other := vms[:2], vms[2]
	for i, v := range stuck {
		v.refuses(b, teardown[i])
		v.removedAtDeadline(v.stop(0))
	}
	for i, v := range stuck {
		v.shownAsStuck(teardown[i])
	}
	h.othersLive(other)
	for i, v := range stuck {
		if got := b.State(v.zone()); got != teardown[i] {
			t.Errorf("the zone is %q, which should be stuck in %q", got, teardown[i])
		}
	}
	b.ReleaseAll()
	for _, v := range stuck {
		v.endsDestroyed()
	}
}

// othersLive checks that a VMM can be stopped, and another one be made and stopped.
func (h *harness) othersLive(v *vm) {
	h.t.Helper()
	v.stopAndEnd()
	next := h.launch()
	next.stopAndEnd()
}

// A halt that does not return is reported, delays no other VMM, and continues across a restart (S, Q, R).
func TestHaltHangs(t *testing.T) {
	h, b := newIllumosHarness(t, setup{})
	vms := h.launchMany(3)
	stuck, other := vms[:2], vms[2]
	for i, v := range stuck {
		b.Inject(illumostest.Fault{Do: illumostest.Stuck, Object: v.zone(), State: teardown[i]})
		v.removedAtDeadline(v.stop(0))
	}
	for i, v := range stuck {
		waitFor(t, func() string {
			if r := v.status().Removal; r == nil || r.ZoneState != teardown[i] {
				return fmt.Sprintf("the zone is not shown as %s: %+v", teardown[i], r)
			}
			return ""
		})
		if why := v.status().Removal.LastError; why != "" {
			t.Errorf("that took until the halt had failed: %s", why)
		}
	}
	h.othersLive(other)
	h.restart()
	for _, v := range stuck {
		if s := v.status(); s.Record.VMM.State != vmm.WireStopping || s.WaitsFor == "" {
			t.Errorf("meanwhile the VMM is %s and waits for %q", s.Record.VMM.State, s.WaitsFor)
		}
	}
	b.ReleaseAll()
	for _, v := range stuck {
		v.endsDestroyed()
	}
}

// A zoneadmd that dies leaves its zone half removed; the next halt continues.
func TestZoneadmdDiesInHalt(t *testing.T) {
	h, b := newIllumosHarness(t, setup{})
	vms := h.launchMany(len(teardown))
	var deaths []*illumostest.Injected
	for i, v := range vms {
		deaths = append(deaths, b.Inject(dying(v, teardown[i])))
		v.stop(0)
	}
	for i, v := range vms {
		v.endsDestroyed()
		if deaths[i].Struck() != 1 {
			t.Errorf("no zoneadmd has died of a zone that was %s", teardown[i])
		}
	}
}

// dying makes the zone's zoneadmd die during a halt.
func dying(v *vm, state string) illumostest.Fault {
	return illumostest.Fault{Do: illumostest.Die, When: illumostest.During, Command: "zoneadmd", Verb: "halt",
		Object: v.zone(), State: state, Times: 1}
}

// zoneadm boot exits with 0 for a zone that is shutting down, but does not boot it.
func TestBootOfAZoneThatShutsDown(t *testing.T) {
	h, b := newIllumosHarness(t, setup{})
	v := h.register()
	boot := b.Inject(illumostest.Fault{Do: illumostest.Hang, Command: "zoneadm", Verb: "boot", Object: v.zone(), Times: 1})
	v.run()
	boot.WaitStruck(1)
	b.Inject(dying(v, "shutting_down"))
	b.Run("zoneadm", "-z", v.zone(), "boot")
	b.Run("zoneadm", "-z", v.zone(), "halt")
	if got := b.State(v.zone()); got != "shutting_down" {
		t.Fatalf("the zone is %q", got)
	}
	boot.Release()
	if why := v.event("start-failed").Error; !strings.Contains(why, "after zoneadm boot it is shutting_down") {
		t.Errorf("the start failed with %q", why)
	}
	v.endsFailed()
}

// A server that SMF gives up is a failed start. SMF's reason and the end of the server's log are kept
// (E, S).
func TestMaintenance(t *testing.T) {
	h, b := newIllumosHarness(t, setup{})
	v := h.register()
	b.Inject(illumostest.Fault{Do: illumostest.Maintenance, Object: v.zone()})
	boot := b.Inject(illumostest.Fault{Do: illumostest.Hang, Command: "zoneadm", Verb: "boot", Object: v.zone(), Times: 1})
	v.run()
	boot.WaitStruck(1)
	v.writeLog(b, "no hypervisor here")
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

// writeLog writes the server's log in place of SMF.
func (v *vm) writeLog(b *illumosBackend, line string) {
	v.t.Helper()
	dir := filepath.Join(b.ZoneRoot(), v.zone(), "root/var/svc/log")
	must(v.t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, "system-illumos-propolis-server:default.log")
	must(v.t, os.WriteFile(file, []byte(line+"\n"), 0o644))
}

// Of many zones that are removed at once, one that the host refuses to destroy delays no other, and the
// next agent continues with it (Z, Q, R). The test is not parallel, since its many processes would
// distort a comparison of durations.
func TestManyWithOneStuck(t *testing.T) {
	const zones = 50
	h, b := newIllumosHarness(t, setup{sequential: true})
	begun := time.Now()
	vms := h.launchMany(zones)
	t.Logf("%d VMMs run after %v", zones, time.Since(begun))
	v, others := vms[0], vms[1:]
	stuck := v.refuses(b, "down")
	begun = time.Now()
	stops := make([]stop, zones)
	for i, v := range vms {
		stops[i] = v.stop(0)
	}
	v.shownAsStuck("down")
	for _, other := range others {
		other.row("ended", ended)
	}
	t.Logf("%d are gone after %v", len(others), time.Since(begun))
	for i, v := range vms {
		v.removedAtDeadline(stops[i])
	}
	for _, other := range others {
		other.endsDestroyed()
	}
	h.restart()
	v.shownAsStuck("down")
	if zones := names(b.Zones()); len(zones) != 1 || zones[0] != v.zone() {
		t.Errorf("the zones left are %v, want %s", zones, v.zone())
	}
	stuck.Release()
	v.endsDestroyed()
}

// Removals continue after the agent was killed (R, Z).
func TestRestartResumesRemoval(t *testing.T) {
	h, b := newIllumosHarness(t, setup{})
	vms := h.launchMany(4)
	link, _ := b.Zone(vms[2].zone())
	hangs := []*illumostest.Injected{
		b.Inject(hanging(illumostest.During, "zoneadmd", "halt", vms[0].zone())),
		b.Inject(hanging(illumostest.During, "zoneadm", "uninstall", vms[1].zone())),
		b.Inject(hanging(illumostest.Before, "dladm", "delete-vnic", link.Config.Links()[0])),
		b.Inject(hanging(illumostest.After, "zonecfg", "delete", vms[3].zone())),
	}
	for i, v := range vms {
		v.stop(0)
		hangs[i].WaitStruck(1)
	}
	h.restart()
	b.ReleaseAll()
	for _, v := range vms {
		v.endsDestroyed()
	}
}

func hanging(when, command, verb, object string) illumostest.Fault {
	return illumostest.Fault{Do: illumostest.Hang, When: when, Command: command, Verb: verb, Object: object, Times: 1}
}
