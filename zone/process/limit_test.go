//go:build linux

package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A zone that forks without end reaches its own limit before the host's.
func TestTasksAreLimited(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	if !m.countsTasks() {
		t.Skip("this host grants no control group that counts tasks")
	}
	m.cfg.MaxTasks = 64
	m.cfg.Argv = []string{"sh", "-c", "echo begun; while :; do sleep 3600 & done"}
	name := prefix + "bomb"
	boot(t, m, name)
	ended := watch(m, name)
	most := 0
	eventually(t, "the shell to say that it cannot fork", func() bool {
		most = max(most, len(members(t, m, name)))
		tail, err := m.Tail(ctxFor(t), name, 1000)
		return err == nil && strings.Contains(strings.ToLower(string(tail)), "fork")
	})
	if most > 64 {
		t.Errorf("%d processes were in it", most)
	}
	remove(t, m, name)
	<-ended
	for _, group := range []string{m.group(name), m.taskGroup(name)} {
		if group != "" && exists(group) {
			t.Errorf("%s is left", group)
		}
	}
}

// The number and depth of groups that a server can make below its own is limited.
func TestGroupsAreLimited(t *testing.T) {
	t.Parallel()
	m := newManager(t, "sleep")
	if m.iso.cgroups == "" {
		t.Skip("this host grants no control groups")
	}
	name := prefix + "nested"
	running(t, m, name)
	dir := m.group(name)
	depth := 0
	for ; depth < 100; depth++ {
		dir = filepath.Join(dir, "x")
		if os.Mkdir(dir, 0o755) != nil {
			break
		}
	}
	if depth > maxGroupDepth {
		t.Errorf("groups %d deep can be made", depth)
	}
	remove(t, m, name)
}
