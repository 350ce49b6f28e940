package crash

import (
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// grace is the grace period of stops that are ignored: long enough for an agent
// to be started again in it.
const grace = 1500 * time.Millisecond

// A life is a script for one VMM.
type life struct {
	name  string
	modes []string
	// doomed: the VM ends although nobody tells it to.
	doomed bool
	// launched: its points begin once its VM has been launched.
	launched bool
	// agent says in which of the life's agents the points are: 0 the first, 1 the
	// one that comes after the crash in the script.
	agent int
	play  func(*vm)
}

var lives = []life{
	{name: "stopped", play: func(v *vm) {
		v.launch()
		v.stop(never)
		v.ends(vmm.WireDestroyed)
	}},
	{name: "stopped-by-force", launched: true, modes: []string{"ignore-stop"}, play: func(v *vm) {
		v.launch()
		v.removedOnTime(v.stop(grace))
		v.ends(vmm.WireDestroyed)
	}},
	{name: "unregistered", launched: true, play: func(v *vm) {
		v.launch()
		v.unregister()
		v.endsInSilence()
	}},
	{name: "rebooted", launched: true, play: func(v *vm) {
		v.launch()
		v.reboot()
		v.stop(never)
		v.ends(vmm.WireDestroyed)
	}},
	{name: "never-up", modes: []string{"fail-create"}, doomed: true, play: func(v *vm) {
		v.register()
		v.run()
		v.ends(vmm.WireFailed)
	}},
	{name: "powered-off", modes: []string{"poweroff-after=200ms"}, doomed: true, play: func(v *vm) {
		v.register()
		v.run()
		v.ends(vmm.WireDestroyed)
	}},
	{name: "never-started", play: func(v *vm) {
		v.register()
		v.stop(never)
		v.ends(vmm.WireDestroyed)
	}},
	{name: "adopted", agent: 1, play: func(v *vm) {
		v.launch()
		v.l.crash()
		v.record()
		v.stop(never)
		v.ends(vmm.WireDestroyed)
	}},
	{name: "adopted-while-stopping", modes: []string{"ignore-stop"}, agent: 1, play: func(v *vm) {
		v.launch()
		s := v.stop(grace)
		v.l.crash()
		v.removedOnTime(s)
		v.ends(vmm.WireDestroyed)
	}},
}

// reboot reboots the VM and waits until it runs again. A reboot whose answer was
// lost may be under way, and then another one is refused.
func (v *vm) reboot() {
	v.t.Helper()
	before := v.record().VMM.Gen
	if got, lost := v.putState("reboot", ""); got.status != http.StatusOK && !(lost && got.status == http.StatusForbidden) {
		v.t.Fatalf("reboot was answered with %v", got)
	}
	trial.Until(v.t, trial.Patience, func() string {
		if r := v.record().VMM; r.State != vmm.WireRunning || r.Gen <= before {
			return "VMM " + v.id.String() + " has not rebooted, it is " + string(r.State)
		}
		return ""
	})
}

// launchedMark is what launch adds to the list of failpoints that were passed.
const launchedMark = "(launched)"

// mark adds a line of its own to the list of failpoints, if one is being made.
func (l *sled) mark(line string) {
	path := ""
	for _, env := range l.setup.lives {
		for _, v := range env {
			if p, ok := strings.CutPrefix(v, "SLED_AGENT_FAILPOINT_LIST="); ok {
				path = p
			}
		}
	}
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		l.t.Fatal(err)
	}
}
