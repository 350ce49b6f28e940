package crash

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// secondVersion is what the agent says it is after the upgrade.
const secondVersion = "crash-2"

// An upgrade replaces the agent's program and leaves everything else as it is:
// the VMs, their deadlines, their servers (R).
func TestUpgrade(t *testing.T) {
	slow(t)
	t.Parallel()
	needsProc(t)
	bin := t.TempDir()
	installed := filepath.Join(bin, "sled-agent")
	if err := os.Link(trial.Path("sled-agent"), installed); err != nil {
		t.Skip("the temporary directory has no links:", err)
	}
	l := newSled(t, setup{program: installed})
	l.says(firstVersion)
	running, stopping, late := l.newVM(t), l.newVM(t), l.newVM(t)
	running.launch()
	stopping.launch()
	stopping.lies("ignore-stop")

	fresh := filepath.Join(bin, "fresh")
	if err := trial.Build(fresh, agentProgram(secondVersion)); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, installed); err != nil {
		t.Fatal(err)
	}
	// The old agent goes on for a while, though its program's file is gone.
	late.launch()
	s := stopping.stop(2 * grace)
	l.terminateAndStart()
	l.says(secondVersion)
	stopping.removedOnTime(s)
	stopping.ends(vmm.WireDestroyed)
	for _, v := range []*vm{running, late} {
		v.runsStill()
		v.stop(never)
		v.ends(vmm.WireDestroyed)
	}
	l.conclude()
}

// says checks which version runs.
func (l *sled) says(version string) {
	l.t.Helper()
	about, err := l.admin.About(trial.Bounded(l.t, trial.Patience))
	if err != nil || about.Version != version || about.PID != l.now().pid() {
		l.t.Errorf("the agent says that it is %+v, %v; want version %s", about, err, version)
	}
}
