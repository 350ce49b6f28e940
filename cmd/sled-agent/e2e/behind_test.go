package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/zone"
	backendprocess "github.com/sledagent/sledagent/zone/process"
)

// Changes to a VMM's zone from outside the agent end the VMM, as an unexpected death (R, T).
func TestZoneChangedBehindTheAgentsBack(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*vm){
		"its processes are killed":     (*vm).killZone,
		"it is halted and booted":      (*vm).rebootZone,
		"it is killed and its dir too": func(v *vm) { v.killZone(); v.removeZoneDir() },
	} {
		for _, when := range []string{" while the agent runs", " while it is down"} {
			t.Run(name+when, func(t *testing.T) {
				h := newHarness(t, setup{restarts: true})
				v, other := h.launch(), h.launch()
				v.mayEnd()
				if a := h.agent(); when == " while it is down" {
					a.kill()
					change(v)
					h.replace(a)
				} else {
					change(v)
				}
				v.endsFailed()
				other.isUnaffected()
			})
		}
	}
}

// A zone whose directory was removed runs as long as its processes, and so does its VM. A stop
// still ends it and leaves nothing.
func TestDirectoryRemovedBehindTheAgentsBack(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	before, meanwhile := h.launch(), h.launch()
	before.removeZoneDir()
	a := h.agent()
	a.kill()
	meanwhile.removeZoneDir()
	h.replace(a)
	before.is(vmm.WireRunning)
	meanwhile.stopAndEnd()
	before.isUnaffected()
}

// A stop that was accepted still ends as a stop (T).
func TestZoneKilledWhileStopping(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	v := h.launchWith(withFaults("ignore-stop"))
	v.stop(never)
	a := h.agent()
	a.kill()
	v.killZone()
	h.replace(a)
	v.endsDestroyed()
}

// withoutGroups runs a command on a host without control groups.
var withoutGroups = []string{"unshare", "-m", "sh", "-c", `umount -a -t cgroup2 && exec "$@"`, "sh"}

// Without control groups, the processes of a zone are found even if its directory was removed
// while the agent was down, and its VM runs until it is stopped. No process must run on after its
// end was published (T, Z).
func TestZoneLostWithoutControlGroups(t *testing.T) {
	slow(t)
	if err := exec.Command(withoutGroups[0], append(withoutGroups[1:], "true")...).Run(); err != nil {
		t.Skip("control groups cannot be taken away:", err)
	}
	h := newHarness(t, setup{restarts: true, wrapper: withoutGroups})
	v := h.launch()
	v.mayEnd()
	a := h.agent()
	a.kill()
	v.removeZoneDir()
	h.replace(a)
	v.is(vmm.WireRunning)
	v.stopAndEnd()
	if left := leftovers(v.zone()); len(left) > 0 {
		t.Errorf("VMM %s has ended, and there is %q", v.id, left)
	}
}

// isUnaffected checks that a VMM that was not changed still runs, and ends it.
func (v *vm) isUnaffected() {
	v.t.Helper()
	if state := v.record().VMM.State; state != vmm.WireRunning {
		v.t.Errorf("VMM %s, to which nothing was done, is %s", v.id, state)
	}
	v.stopAndEnd()
}

var orphans = map[string]func(*harness) string{
	"a directory":              (*harness).orphanDir,
	"a zone that runs":         (*harness).orphanZone,
	"processes without a zone": (*harness).orphanProcesses,
}

// Zones of the agent's prefix that belong to no VMM are removed (Z, L).
func TestOrphansAreRemoved(t *testing.T) {
	t.Parallel()
	for name, makeOrphan := range orphans {
		for _, when := range []string{" while the agent is down", " while it runs"} {
			t.Run(name+when, func(t *testing.T) {
				h := newHarness(t, setup{restarts: true})
				v := h.launch()
				var zone string
				if a := h.agent(); when == " while it runs" {
					// The agent must not see the orphan before it is complete.
					a.signal(t, syscall.SIGSTOP)
					defer a.signal(t, syscall.SIGCONT)
					zone = makeOrphan(h)
					a.signal(t, syscall.SIGCONT)
				} else {
					a.kill()
					zone = makeOrphan(h)
					h.replace(a)
				}
				waitFor(t, func() string { return strings.Join(h.leftOf(zone), ", ") })
				v.isUnaffected()
			})
		}
	}
}

// With another configuration orphans are kept, and still reported, until an operator removes them.
func TestOrphansAreKept(t *testing.T) {
	h := newHarness(t, setup{restarts: true, zones: section{"orphans": "keep"}})
	v := h.launch()
	a := h.agent()
	a.kill()
	var kept []string
	for name, makeOrphan := range orphans {
		if name == "processes without a zone" && len(cgroups(v.zone())) == 0 {
			continue // This host grants no control groups.
		}
		kept = append(kept, makeOrphan(h))
	}
	h.replace(a)
	for _, zone := range kept {
		h.agent().logs(t, zone)
	}
	if _, err := v.admin.RemoveZone(bounded(t), v.zone()); err == nil || !strings.Contains(err.Error(), "belongs to VMM "+v.id.String()) {
		t.Errorf("the zone of a VMM: %v", err)
	}
	for _, name := range kept {
		if len(h.leftOf(name)) == 0 {
			t.Errorf("%s was to be kept, and is gone", name)
		}
		if z, err := v.admin.RemoveZone(bounded(t), name); err != nil || !z.Orphan || z.By == "" {
			t.Errorf("remove zone %s: %+v, %v", name, z, err)
		}
		waitFor(t, func() string { return strings.Join(h.leftOf(name), ", ") })
	}
	v.stopAndEnd()
}

// manager returns another manager of the agent's zones.
func (h *harness) manager() *backendprocess.Manager {
	h.t.Helper()
	onlyOnProcesses(h.t)
	m, err := backendprocess.New(backendprocess.Config{Dir: h.zonesDir(), Prefix: zonePrefix, Self: h.setup.program,
		Argv: []string{program("propolis-sim"), "run", "{addr}"}})
	must(h.t, err)
	h.t.Cleanup(func() { _ = m.Close() }) // It does not affect zones.
	return m
}

// rebootZone halts and boots a zone, as an operator might.
func (v *vm) rebootZone() {
	v.t.Helper()
	m, ctx := v.manager(), bounded(v.t)
	must(v.t, m.Remove(ctx, zone.RungHalt, v.zone()))
	// The agent, if it runs, may already have begun to remove the zone.
	if err := m.Boot(ctx, v.zone()); err != nil {
		v.t.Logf("boot the zone once more: %v", err)
	}
}

// killZone kills the zone's processes.
func (v *vm) killZone() {
	v.t.Helper()
	for _, p := range processes(v.zone()) {
		p.kill() // One takes the others with it.
	}
}

// removeZoneDir removes the zone's directory, while its processes may write to it.
func (v *vm) removeZoneDir() {
	v.t.Helper()
	onlyOnProcesses(v.t)
	waitFor(v.t, func() string {
		if err := os.RemoveAll(filepath.Join(v.zonesDir(), v.zone())); err != nil {
			return err.Error()
		}
		return ""
	})
}

// orphanDir makes an orphan that is only a directory, and returns its name.
func (h *harness) orphanDir() string {
	h.t.Helper()
	name := zonePrefix + uuid.NewString()
	must(h.t, os.MkdirAll(filepath.Join(h.zonesDir(), name, "root", "junk"), 0o700))
	return name
}

// orphanZone makes a running orphan.
func (h *harness) orphanZone() string {
	h.t.Helper()
	name := zonePrefix + uuid.NewString()
	m, ctx := h.manager(), bounded(h.t)
	if _, err := m.Create(ctx, zone.Spec{Name: name, Addr: freeAddr(h.t)}); err != nil {
		h.t.Fatal(err)
	}
	must(h.t, m.Boot(ctx, name))
	return name
}

// orphanProcesses makes a running orphan without its directory. Only a control group identifies it.
func (h *harness) orphanProcesses() string {
	h.t.Helper()
	name := h.orphanZone()
	must(h.t, os.RemoveAll(filepath.Join(h.zonesDir(), name)))
	if len(cgroups(name)) == 0 {
		h.t.Skip("this host grants no control groups")
	}
	return name
}

// leftOf lists what exists of an orphan.
func (h *harness) leftOf(zone string) []string {
	return append(leftovers(zone), named(h.zonesDir(), zone)...)
}
