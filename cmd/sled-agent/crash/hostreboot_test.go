package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// bootIDFile is where the agent reads which boot of the host this is.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// anotherBoot is a shell script that runs a command as after a reboot of the
// host. Its first argument is the file that holds the other boot's id.
const anotherBoot = `mount --bind "$0" ` + bootIDFile + ` && exec "$@"`

// After the host's reboot every VMM is at its end at once: one that was being
// stopped is Destroyed, any other Failed, and what it left is removed (R, T).
func TestHostReboot(t *testing.T) {
	t.Parallel()
	needsProc(t)
	l := newSled(t, setup{modes: []string{"ignore-stop"}})
	boot := filepath.Join(l.dir, "boot_id")
	if err := os.WriteFile(boot, []byte(uuid.NewString()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rebooted := []string{"unshare", "-m", "sh", "-c", anotherBoot, boot}
	if err := exec.Command(rebooted[0], append(rebooted[1:], "true")...).Run(); err != nil {
		l.terminate()
		t.Skip("a file cannot be put in the place of the boot id:", err)
	}
	waiting, running, stopping := l.newVM(t), l.newVM(t), l.newVM(t)
	waiting.register()
	running.launch()
	stopping.launch()
	stopping.stop(never)

	l.terminate()
	for _, v := range []*vm{waiting, running} {
		v.endsNow()
	}
	running.killZone()
	stopping.killZone()
	began := time.Now()
	l.startBy(append(rebooted, trial.Path("sled-agent"), "run", "--config", l.config)...)
	for v, state := range map[*vm]vmm.WireState{waiting: vmm.WireFailed, running: vmm.WireFailed, stopping: vmm.WireDestroyed} {
		v.ends(state)
		row, _ := l.nexus.Row(v.id)
		if took := trial.Own(began, row.History[len(row.History)-1].At); took > noticed {
			t.Errorf("VMM %s was at its end %v after the start", v.id, took)
		}
	}
	l.conclude()
}
