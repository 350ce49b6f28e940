package crash

import (
	"os/exec"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// withoutGroups is a command that runs another one on a host without control groups.
var withoutGroups = []string{"unshare", "-m", "sh", "-c", `umount -a -t cgroup2 && exec "$@"`, "sh"}

// Where no control group holds a zone, its processes are found all the same if
// its directory was taken away while the agent was down. A VM that nobody can
// name must not live on behind an end that was published (T, Z).
func TestZoneLostWithoutControlGroups(t *testing.T) {
	slow(t)
	t.Parallel()
	if err := exec.Command(withoutGroups[0], append(withoutGroups[1:], "true")...).Run(); err != nil {
		t.Skip("control groups cannot be taken away:", err)
	}
	l := newSled(t, setup{wrapper: withoutGroups})
	v := l.newVM(t)
	v.launch()
	v.endsNow()
	l.kill()
	v.removeZoneDir()
	l.revive(l.now())
	v.ends(vmm.WireFailed)
	if left := leftovers(v.zone()); len(left) > 0 {
		t.Errorf("VMM %s was reported Failed, and there is %q", v.id, left)
	}
	l.conclude()
}
