package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// unitFile is the unit that the project ships.
const unitFile = "../../../deploy/systemd/sled-agent.service"

// The unit has the settings that the tests of this package stand in for.
func TestUnit(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"Type=notify", "KillMode=process", "WatchdogSec=", "Restart=on-failure"} {
		if !strings.Contains(string(text), "\n"+setting) {
			t.Errorf("the unit has no %s", setting)
		}
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("there is no systemd-analyze to read it")
	}
	// It wants the program to be there.
	unit := filepath.Join(t.TempDir(), "sled-agent.service")
	there := strings.ReplaceAll(string(text), "/usr/bin/sled-agent", trial.Path("sled-agent"))
	if err := os.WriteFile(unit, []byte(there), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// The signals of a service manager end the agent and nothing else, also that for
// an agent that hangs (R).
func TestSignalsOfAServiceManager(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGABRT, syscall.SIGKILL} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			l := newSled(t, setup{})
			running, stopping := l.newVM(t), l.newVM(t)
			running.launch()
			stopping.launch()
			stopping.lies("ignore-stop")
			s := stopping.stop(2 * grace)
			a := l.now()
			if err := a.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			<-a.exited
			if sig == syscall.SIGABRT && !strings.Contains(a.said(), "goroutine ") {
				t.Error("an agent that is aborted does not say what it was doing")
			}
			l.revive(a)
			stopping.removedOnTime(s)
			stopping.ends(vmm.WireDestroyed)
			running.runsStill()
			running.stop(never)
			running.ends(vmm.WireDestroyed)
			l.conclude()
		})
	}
}
