//go:build linux

package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
)

// refusedMode makes the test binary an agent that may not send signals to a
// zone's processes.
const refusedMode = "be-refused"

// If signals are refused, a kill and a halt use the control group: the agent's user may
// have changed, or a security module may forbid signals.
func TestRefusedSignal(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to change its user")
	}
	best := newManager(t).iso
	if best.cgroups == "" {
		t.Skip("this host grants no control groups")
	}
	for _, iso := range []isolation{best, {cgroups: best.cgroups}} {
		for _, verb := range []string{"kill", "halt", "watched"} {
			t.Run(iso.String()+"/"+verb, func(t *testing.T) {
				t.Parallel()
				dir := openTo(t, nobody)
				m := withoutIn(t, filepath.Join(dir, "zones"), iso, "detach=touch=ready,sleep", "sleep")
				name := prefix + "refused"
				running(t, m, name)
				ready(t, m, name)
				command(t, "chown", "-R", fmt.Sprint(nobody), m.dir)
				if err := os.Chown(filepath.Join(m.group(name), "cgroup.kill"), nobody, nobody); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("/proc/self/exe", refusedMode, m.dir, verb, fmt.Sprint(iso.pidns), iso.cgroups)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n%s", err, out)
				}
				eventually(t, "the end", func() bool { return len(members(t, m, name)) == 0 })
			})
		}
	}
}

// openTo returns a directory of the test that another user can access.
func openTo(t *testing.T, uid int) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chown(d, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func actAsRefused(dir, verb string, iso isolation) {
	m, err := New(Config{Dir: dir, Prefix: prefix, Log: zerolog.Nop(), Argv: []string{"/bin/true"}})
	check(err)
	m.iso = iso
	ctx, name := ctxFor(noT{}), prefix+"refused"
	if info, err := m.Look(ctx, name); err != nil || info.State != zone.Running {
		check(fmt.Errorf("it is %+v, %v", info, err))
	}
	switch verb {
	case "watched": // by a handle, which a kill uses first
		ended := watch(m, name)
		check(m.Remove(ctx, zone.RungKill, name))
		<-ended
	case "kill":
		check(m.Remove(ctx, zone.RungKill, name))
	case "halt":
		check(m.Remove(ctx, zone.RungHalt, name))
		if info, err := m.Look(ctx, name); err != nil || info.State != zone.Installed {
			check(fmt.Errorf("afterwards it is %+v, %v", info, err))
		}
	}
}

// newMode makes the test binary an agent that only starts.
const newMode = "be-new"

// If /proc is that of another PID namespace, every pid in it belongs to another
// process. An agent then refuses to start.
func TestForeignProc(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to make a PID namespace")
	}
	for _, own := range []bool{false, true} {
		script := `exec "$0" "$@"`
		if own {
			script = `mount --make-rprivate / && mount -t proc proc /proc && exec "$0" "$@"`
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", script, self, newMode, t.TempDir())
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if own && err != nil {
			t.Errorf("with a /proc of its own: %v\n%s", err, out)
		}
		if !own && (err == nil || !strings.Contains(string(out), "/proc shows this process as pid")) {
			t.Errorf("with the /proc of another namespace: %v\n%s", err, out)
		}
	}
}
