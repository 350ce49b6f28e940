package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// leastPoints is the minimum number of different points, in case failpoints are lost.
const leastPoints = 40

// sampled is the number of points per scenario in a short run.
const sampled = 2

// A point is one pass of a failpoint.
type point struct {
	name string
	nth  int
}

func (p point) String() string { return fmt.Sprintf("%s:%d", p.name, p.nth) }

// At whatever step the agent is killed, its VMs run on, and end as without the kill (R, D, T, N, L).
// It is killed at every point once, in one scenario that passes it; with SLOW_TESTS=1 at two
// passes of every point in every scenario.
func TestDeathAtEveryStep(t *testing.T) {
	onlyOnProcesses(t)
	var all deaths
	t.Run("in", func(t *testing.T) {
		for _, s := range scenarios {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				var points []point
				t.Run("undisturbed", func(t *testing.T) { points = s.points(t) })
				points = all.choose(points)
				for _, p := range points {
					t.Run(p.String(), func(t *testing.T) {
						agents := s.run(t, "SLED_AGENT_FAILPOINT="+p.String(), nil)
						all.add(p, agents > s.agent+1)
					})
				}
			})
		}
	})
	all.check(t)
}

// deaths records where agents were killed.
type deaths struct {
	mu        sync.Mutex
	chosen    map[string]bool
	at        map[string]bool
	missed    []string
	cases     int
	scenarios int
}

// choose selects which of a scenario's points to try.
func (d *deaths) choose(points []point) (chosen []point) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.scenarios++
	if d.chosen == nil {
		d.chosen, d.at = map[string]bool{}, map[string]bool{}
	}
	for _, p := range points {
		if slowTests || !d.chosen[p.name] {
			d.chosen[p.name] = true
			chosen = append(chosen, p)
		}
	}
	if testing.Short() {
		chosen = chosen[:min(len(chosen), sampled)]
	}
	return chosen
}

// add records whether an agent was killed at its point.
func (d *deaths) add(p point, died bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cases++
	if died {
		d.at[p.name] = true
	} else {
		d.missed = append(d.missed, p.String())
	}
}

func (d *deaths) check(t *testing.T) {
	t.Logf("the agent died at %d different points in %d cases; %d were not come by: %v", len(d.at), d.cases, len(d.missed), d.missed)
	all := !testing.Short() && d.scenarios == len(scenarios) // not only a few, by -run
	if all && len(d.at) < leastPoints {
		t.Errorf("the agent died at %d different points, want %d or more: %v", len(d.at), leastPoints, slices.Sorted(maps.Keys(d.at)))
	}
	if all && len(d.missed) > d.cases/10 {
		t.Errorf("in %d of %d cases the agent never passed its point: %v", len(d.missed), d.cases, d.missed)
	}
}

// A scenario is a script for one registered VMM.
type scenario struct {
	name string
	// faults are the server's initial faults.
	faults []string
	// endsByItself: the VM ends without a request.
	endsByItself bool
	// launched: the VM already runs; another scenario covers its start.
	launched bool
	// agent is the index of the scenario's agent in which failpoints are tried: 0 the first, 1
	// the one after a restart in the script.
	agent int
	play  func(*vm)
}

var scenarios = []scenario{
	{name: "stopped", play: func(v *vm) { v.launch().stopAndEnd() }},
	{name: "stopped-by-force", launched: true, faults: []string{"ignore-stop"}, play: func(v *vm) { v.stopsAtDeadline(grace) }},
	{name: "unregistered", launched: true, play: func(v *vm) { v.unregister(); v.endsSilently() }},
	{name: "rebooted", launched: true, play: func(v *vm) { v.reboot(); v.stopAndEnd() }},
	{name: "never-up", faults: []string{"fail-create"}, endsByItself: true, play: func(v *vm) { v.run(); v.endsFailed() }},
	{name: "powered-off", faults: []string{"poweroff-after=200ms"}, endsByItself: true, play: func(v *vm) { v.run(); v.endsDestroyed() }},
	{name: "never-started", play: (*vm).stopAndEnd},
	{name: "adopted", launched: true, agent: 1, play: func(v *vm) {
		v.restart()
		v.record()
		v.stopAndEnd()
	}},
	{name: "adopted-while-stopping", launched: true, faults: []string{"ignore-stop"}, agent: 1, play: func(v *vm) {
		s := v.stop(grace)
		v.restart()
		v.removedAtDeadline(s)
		v.endsDestroyed()
	}},
}

// reboot reboots the VM and waits until it runs again. If the answer was lost, the reboot may be in
// progress, and another one is refused.
func (v *vm) reboot() {
	v.t.Helper()
	before := v.record().VMM.Gen
	got, repeated := v.try("PUT", v.path()+"/state", stateBody("reboot"))
	if got.status != http.StatusOK && !(repeated && got.status == http.StatusForbidden) {
		v.t.Fatalf("reboot was answered with %v", got)
	}
	waitFor(v.t, func() string {
		if r := v.record().VMM; r.State != vmm.WireRunning || r.Gen <= before {
			return "VMM " + v.id.String() + " has not rebooted, it is " + string(r.State)
		}
		return ""
	})
}

// run runs the scenario with env in the environment of the selected agent. It returns the number of
// agents, and calls launched, if not nil, once the VM runs.
func (s scenario) run(t *testing.T, env string, launched func()) int {
	envs := make([][]string, s.agent+1)
	envs[s.agent] = []string{env}
	h := newHarness(t, setup{restarts: true, env: envs, sequential: launched != nil})
	stop := h.keepRunning()
	defer stop()
	v := h.newVM()
	v.serverScript(withFaults(s.faults...))
	if s.endsByItself {
		v.mayEnd()
	}
	v.register()
	if s.launched {
		v.launch()
		if launched != nil {
			launched()
		}
	}
	s.play(v)
	stop()
	return len(h.agents)
}

// points runs the scenario without kills and returns the points passed: the first two passes of
// each, without those before the launch if launched is set.
func (s scenario) points(t *testing.T) (points []point) {
	list := filepath.Join(t.TempDir(), "points")
	passed := func() []string {
		text, _ := os.ReadFile(list) // It may not exist yet.
		return strings.Fields(string(text))
	}
	skip := 0
	s.run(t, "SLED_AGENT_FAILPOINT_LIST="+list, func() { skip = len(passed()) })
	passes, taken := map[string]int{}, map[string]int{}
	for i, name := range passed() {
		passes[name]++
		if i >= skip && taken[name] < 2 {
			taken[name]++
			points = append(points, point{name, passes[name]})
		}
	}
	return points
}
