package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// VMMs whose Propolis hangs at the agent's start delay no other VMM's adoption. There are six:
// an agent that waited for each in turn, until it counts as silent, would exceed the time
// limit. They are shown as silent, and their stops keep their deadlines (Q, S, D).
func TestAdoptionOfAHungServer(t *testing.T) {
	slow(t)
	h := newHarness(t, setup{restarts: true})
	hung, others := h.launchMany(6), h.launchMany(6)
	for _, v := range hung {
		must(t, syscall.Kill(v.server.pid, syscall.SIGSTOP))
	}
	h.restart()
	for _, v := range others {
		waitFor(t, func() string {
			if !slices.ContainsFunc(v.status().Events, func(e vmm.Event) bool { return e.Kind == "observed" }) {
				return "of VMM " + v.id.String() + " nothing has been observed"
			}
			return ""
		})
	}
	for _, v := range hung {
		waitFor(t, func() string {
			if p := v.status().Propolis; p == nil || p.SilentSince == nil {
				return "a server that hangs is not shown as silent"
			}
			return ""
		})
		if state := v.record().VMM.State; state != vmm.WireRunning {
			t.Errorf("a VMM whose server hangs is %s; its guest may be fine", state)
		}
	}
	for _, v := range others {
		v.stopAndEnd()
	}
	for _, v := range hung {
		v.stopsAtDeadline(grace)
	}
}

// A VM survives its agent, whether that is killed or terminated, and the next agent adopts it.
// A stop's deadline survives the agent that has accepted the stop (D, R).
func TestRestart(t *testing.T) {
	skipWithoutProc(t)
	h := newHarness(t, setup{})
	running, stopping := h.launch(), faults("ignore-stop").launch(h)
	before := processes(running.id.String())
	s := stopping.stop(2 * longer)
	check := func() {
		t.Helper()
		running.setFaults("ignore-stop") // The server answers.
		if after := processes(running.id.String()); !slices.Equal(before, after) || len(after) == 0 {
			t.Errorf("the zone's processes were %v and are %v", before, after)
		}
	}
	h.restart()
	check()
	stopping.removedAtDeadline(s)
	stopping.endsDestroyed()
	h.terminate()
	check()
	h.start()
	running.stopsAtDeadline(grace)
}

// secondVersion is the agent's version after the upgrade.
const secondVersion = "e2e-2"

// An upgrade replaces the agent's program and does not affect the VMs, their deadlines and
// their servers (R).
func TestUpgrade(t *testing.T) {
	slow(t)
	bin := t.TempDir()
	installed, fresh := filepath.Join(bin, "sled-agent"), filepath.Join(bin, "fresh")
	if err := os.Link(program(failpointAgent), installed); err != nil {
		t.Skip("the temporary directory has no links:", err)
	}
	h := newHarness(t, setup{restarts: true, program: installed})
	h.hasVersion(firstVersion)
	running, stopping := h.launch(), h.launchWith(withFaults("ignore-stop"))
	must(t, buildFailpointAgent(fresh, secondVersion))
	must(t, os.Rename(fresh, installed))
	// The old agent continues for a while, although its program's file was removed.
	late := h.launch()
	s := stopping.stop(2 * grace)
	h.terminate()
	h.replace(h.agent())
	h.hasVersion(secondVersion)
	stopping.removedAtDeadline(s)
	stopping.endsDestroyed()
	for _, v := range []*vm{running, late} {
		v.is(vmm.WireRunning)
		v.stopAndEnd()
	}
}

// hasVersion checks which version runs.
func (h *harness) hasVersion(version string) {
	h.t.Helper()
	if about := h.about(); about.Version != version || about.PID != h.agent().pid() {
		h.t.Errorf("the agent says that it is %+v; want version %s", about, version)
	}
}
