//go:build linux

package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// agentMode makes the test binary an agent that boots one zone in the given directory,
// prints "booted" and keeps running.
const agentMode = "be-an-agent"

func actAsAgent(dir string) {
	m, err := New(Config{Dir: dir, Prefix: prefix, Log: zerolog.Nop(),
		Argv: []string{"/proc/self/exe", serverMode, "say=up", "detach=touch=ready,sleep", "wait-for=go", "say=bye", "exit=5"}})
	check(err)
	name := prefix + "adopted"
	ctx := context.Background()
	_, err = m.Create(ctx, spec(name))
	check(err)
	check(m.Boot(ctx, name))
	fmt.Println("booted")
	select {}
}

// agent starts such an agent, in a process group of its own, with a pipe as its output
// and an additional inherited descriptor.
func agent(t *testing.T, dir string) (cmd *exec.Cmd, inherited *os.File) {
	t.Helper()
	inherited, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inherited.Close() })
	cmd = exec.Command("/proc/self/exe", agentMode, dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.ExtraFiles = []*os.File{theirs, theirs} // the first is where the init has its socket
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	var line string
	if _, err := fmt.Fscan(out, &line); line != "booted" {
		t.Fatalf("the agent printed %q, %v", line, err)
	}
	return cmd, inherited
}

func TestZoneOutlivesItsAgent(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*exec.Cmd) error{
		"killed":      func(c *exec.Cmd) error { return c.Process.Kill() },
		"interrupted": func(c *exec.Cmd) error { return syscall.Kill(-c.Process.Pid, syscall.SIGINT) },
		"group ends":  func(c *exec.Cmd) error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd, inherited := agent(t, dir)
			if err := end(cmd); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			// No process in the zone holds what the agent had inherited.
			if n, err := inherited.Read(make([]byte, 1)); err == nil {
				t.Errorf("read %d bytes", n)
			}
			testAdopted(t, newManagerIn(t, dir, "sleep"))
		})
	}
}

func testAdopted(t *testing.T, m *Manager) {
	t.Helper()
	name := prefix + "adopted"
	root := filepath.Join(m.zoneDir(name), "root")
	ready(t, m, name)
	infos, err := m.List(ctxFor(t))
	if err != nil || len(infos) != 1 || infos[0].State != zone.Running {
		t.Fatalf("a new agent lists %+v, %v", infos, err)
	}
	gone := make(chan zone.End, 2)
	stopped := m.Watch(name, func(zone.End) { t.Error("notified after stop") })
	m.Watch(name, func(e zone.End) { gone <- e })
	stopped()
	touch(t, filepath.Join(root, "go"))
	if end := <-gone; end.How != "exit status 5" {
		t.Errorf("it ended %q", end.How)
	}
	if tail, err := m.Tail(ctxFor(t), name, 4); string(tail) != "bye\n" {
		t.Errorf("tail: %q, %v", tail, err)
	}
	wantNoMembers(t, m, name)
	m.Watch(name, func(e zone.End) { gone <- e })
	if end := <-gone; end.How != "exit status 5" {
		t.Errorf("a late watch reports %q", end.How)
	}
}

func TestRemovalOfAnAdoptedZone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd, _ := agent(t, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	m := newManagerIn(t, dir, "sleep")
	name := prefix + "adopted"
	info := look(t, m, name)
	remove(t, m, name)
	if left := members(t, m, name); len(left) > 0 || alive(t, proc.ID{PID: info.PID}) {
		t.Errorf("left: %v", left)
	}
}
