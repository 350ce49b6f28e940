//go:build linux

package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// Inspect describes all processes of a zone and none of another's.
func TestInspect(t *testing.T) {
	t.Parallel()
	m := newManager(t, "detach=sleep", "child=touch=ready,sleep", "sleep")
	running(t, m, "oxz_a")
	running(t, m, "oxz_b")
	eventually(t, "the last process", func() bool { return exists(filepath.Join(m.zoneDir("oxz_a"), "root", "ready")) })
	var pids []int
	eventually(t, "the processes of the zone", func() bool {
		var err error
		if pids, err = m.Processes(ctxFor(t), "oxz_a", 100); err != nil {
			t.Fatal(err)
		}
		return len(pids) == len(members(t, m, "oxz_a")) && len(pids) > 3
	})
	if pids[0] != look(t, m, "oxz_a").PID {
		t.Errorf("the first of %v is not the zone's first process", pids)
	}
	for _, p := range members(t, m, "oxz_b") {
		if slices.Contains(pids, p.PID) {
			t.Errorf("%v is of another zone", p)
		}
	}
	if few, err := m.Processes(ctxFor(t), "oxz_a", 1); err != nil || len(few) != 1 {
		t.Errorf("of at most one there are %v, %v", few, err)
	}
	got := map[string]string{}
	err := m.Inspect(ctxFor(t), pids, func(file string, text []byte) { got[file] = string(text) })
	if err != nil && os.Geteuid() == 0 {
		t.Error(err)
	}
	for _, pid := range pids {
		for file, want := range map[string]string{"processes.txt": " " + strconv.Itoa(pid) + " ", "stacks.txt": "process " + strconv.Itoa(pid) + ", thread ",
			"files.txt": "process " + strconv.Itoa(pid) + "\n"} {
			if !strings.Contains(got[file], want) {
				t.Errorf("%s does not have %q: %s", file, want, got[file])
			}
		}
	}
	for file, want := range map[string]string{"processes.txt": serverMode, "stacks.txt": ", state S, waits in ", "files.txt": " /dev/null\n"} {
		if !strings.Contains(got[file], want) {
			t.Errorf("%s does not have %q: %s", file, want, got[file])
		}
	}
	remove(t, m, "oxz_a")
	if pids, err := m.Processes(ctxFor(t), "oxz_a", 100); err == nil {
		t.Errorf("of a zone that is gone there are %v", pids)
	}
	if _, err := m.Processes(ctxFor(t), "../oxz_b", 100); err == nil {
		t.Error("a name that is none was looked up")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.Inspect(cancelled, nil, func(string, []byte) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

// What a process calls itself cannot add lines, move a cursor or be endless.
func TestInspectUntrusted(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "600")
	cmd.Args[0] = "evil\n4711 1 R root\x1b[2J" + strings.Repeat("x", 100<<10)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	table := string(proc.Table([]int{cmd.Process.Pid}))
	if strings.Count(table, "\n") != 2 || strings.Contains(table, "\x1b") || len(table) > 8<<10 || !strings.Contains(table, "evil 4711") {
		t.Errorf("the table is %q", table)
	}
}
