package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/bootclock"
)

// A deadline is stored as time since the host's boot, together with the boot's id. That clock is
// never set, so no step of the wall clock moves a deadline, even between two agents (D).
func TestDeadlineIsKeptOnTheBootClock(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	v := h.launchWith(withFaults("ignore-stop"))
	host := bootclock.Host()
	before := host.Now()
	s := v.stop(20 * time.Minute)
	after := host.Now()
	h.terminate()

	kept := v.kept()
	d := kept.State.Deadline
	boot, err := host.Boot()
	must(t, err)
	if d.For != "stop" || d.At < before+s.grace || d.At > after+s.grace+spread || kept.State.Boot != boot {
		t.Errorf("the ledger holds %+v; want a stop's deadline of boot %s from %v to %v", kept.State, boot, before+s.grace, after+s.grace)
	}
	h.replace(h.agent())
	// A stop may bring the deadline forward.
	v.stopsAtDeadline(0)
}

// Restarts during the grace period do not restart it (D).
func TestDeadlineOverManyRestarts(t *testing.T) {
	slow(t)
	h := newHarness(t, setup{restarts: true})
	v := h.launchWith(withFaults("ignore-stop"))
	host := bootclock.Host()
	before := host.Now()
	s := v.stop(20 * time.Minute)
	pause(2 * spread)
	anew := host.Now() // a grace period restarted by a restart would begin after this
	for range 5 {
		h.restart()
		v.record() // adopted
	}
	h.terminate()
	if d := v.kept().State.Deadline; d.For != "stop" || d.At < before+s.grace || d.At >= anew+s.grace {
		t.Errorf("after the restarts the ledger holds %+v; want a stop's deadline from %v to before %v", d, before+s.grace, anew+s.grace)
	}
	h.replace(h.agent())
	v.stopsAtDeadline(0)
}

// spread bounds the apparent difference of two clocks that are read in turn on a busy machine.
const spread = 2 * time.Second

// An entry is a VMM's entry in the ledger.
type entry struct {
	ID    string
	State struct {
		Boot     string
		Deadline struct {
			For string
			At  time.Duration `json:"at_ns"` // since the host's boot
		}
	}
}

// kept reads the ledger's entry for the host's only VMM. No agent may run.
func (v *vm) kept() (e entry) {
	v.t.Helper()
	out, err := exec.Command(program("sled-agent"), "ledger", "dump", "--config", v.configFile()).Output()
	must(v.t, err)
	if err := json.Unmarshal(out, &e); err != nil || e.ID != v.id.String() {
		v.t.Fatalf("the ledger holds %s: %v", out, err)
	}
	return e
}

// bootIDFile is the file from which the agent reads the id of the host's boot.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// anotherBoot is a shell script that runs a command as after a reboot of the host. Its first
// argument is the file with the new boot id.
const anotherBoot = `mount --bind "$0" ` + bootIDFile + ` && exec "$@"`

// After the host's reboot every VMM ends: one that was being stopped Destroyed, any other Failed.
// What it left is removed (R, T).
func TestHostReboot(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	boot := filepath.Join(h.dir, "boot_id")
	must(t, os.WriteFile(boot, []byte(uuid.NewString()+"\n"), 0o600))
	rebooted := []string{"unshare", "-m", "sh", "-c", anotherBoot, boot}
	if err := exec.Command(rebooted[0], append(rebooted[1:], "true")...).Run(); err != nil {
		h.terminate()
		t.Skip("a file cannot be put in the place of the boot id:", err)
	}
	waiting, running, stopping := h.register(), h.launch(), h.launchWith(withFaults("ignore-stop"))
	stopping.stop(never)

	h.terminate()
	for _, v := range []*vm{waiting, running} {
		v.mayEnd()
	}
	running.killZone()
	stopping.killZone()
	h.spawnBy(append(rebooted, h.setup.program, "run", "--config", h.configFile())...)
	for v, state := range map[*vm]vmm.WireState{waiting: vmm.WireFailed, running: vmm.WireFailed, stopping: vmm.WireDestroyed} {
		v.ends(state)
	}
}
