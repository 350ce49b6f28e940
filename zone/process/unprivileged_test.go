//go:build linux

package process

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/sledagent/sledagent/zone"
)

const (
	nobody = 65534
	// asNobody is set in the environment of tests run by TestWithoutPrivileges.
	asNobody = "SLED_TEST_AS_NOBODY"
)

// The relevant tests are run again as an unprivileged user.
func TestWithoutPrivileges(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to change its user")
	}
	dir := openTo(t, nobody)
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.run",
		"^(TestPlainUser|TestNothingEscapes|TestServerEndsAlone|TestInitKilledFromOutside|TestZoneLifecycle|TestZoneOutlivesItsAgent|TestFullDescriptorTableEndsNothing|TestUnreadableFilesAreNoState)$")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asNobody+"=1", "TMPDIR="+dir, "HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestPlainUser") {
		t.Errorf("as nobody: %v\n%s", err, out)
	}
}

func TestPlainUser(t *testing.T) {
	t.Parallel()
	if os.Getenv(asNobody) == "" {
		t.Skip("run by TestWithoutPrivileges")
	}
	m := newManager(t, "lock-away", "touch=ready", "sleep")
	if got, want := m.Isolation(), "session and process tree (best effort)"; got != want {
		t.Errorf("isolation %q, want %q", got, want)
	}
	name := prefix + "locked"
	running(t, m, name)
	ready(t, m, name)
	remove(t, m, name)
	if got := look(t, m, name).State; got != zone.Absent {
		t.Errorf("it is %v", got)
	}
}
