package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A process is one that was found by what it carries of a zone.
type process struct {
	pid  int
	line string // its command line, for people
}

// processes returns those whose environment mentions the mark: that of a zone's
// processes names its directory, and that of an agent its test's. Without a /proc
// there are none to be seen.
func processes(mark string) (found []process) {
	dirs, _ := os.ReadDir("/proc")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(dir.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		path := filepath.Join("/proc", dir.Name())
		if text, _ := os.ReadFile(filepath.Join(path, "environ")); bytes.Contains(text, []byte(mark)) {
			line, _ := os.ReadFile(filepath.Join(path, "cmdline"))
			found = append(found, process{pid, strings.ReplaceAll(string(line), "\x00", " ")})
		}
	}
	return found
}

// sees skips a test that has to see processes where they are not to be seen.
func sees(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("there is no /proc to see processes in")
	}
}

// leftovers lists the processes that mention the mark, which is a directory or
// an id, and the control groups named after it.
func leftovers(mark string) (left []string) {
	for _, p := range processes(mark) {
		left = append(left, fmt.Sprintf("process %d: %s", p.pid, p.line))
	}
	for _, dir := range cgroups(mark) {
		left = append(left, "control group "+dir)
	}
	return left
}

// ownGroup is the control group that this process, and so an agent of its, is in;
// empty where there is none of the kind that can be killed as a whole.
var ownGroup = sync.OnceValue(func() string {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
			dir := filepath.Join(root, path)
			if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); ok && err == nil {
				return dir
			}
		}
	}
	return ""
})

// cgroups lists the control groups below the agents' own whose name contains the
// mark. A process that hid from processes would still be in one.
func cgroups(mark string) (found []string) {
	if ownGroup() == "" || strings.Contains(mark, "/") {
		return nil
	}
	for _, below := range []string{"", "*"} {
		dirs, _ := filepath.Glob(filepath.Join(ownGroup(), below, "*"+mark+"*"))
		for _, dir := range dirs {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				found = append(found, dir)
			}
		}
	}
	return found
}

// children lists the child processes of one, zombies too.
func children(parent int) (found []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		text, _ := os.ReadFile(file)
		// The name, in parentheses, may hold anything; what follows it does not.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			found = append(found, fmt.Sprintf("child %s", bytes.TrimSpace(text[:min(len(text), 60)])))
		}
	}
	return found
}

// entries lists what a directory holds.
func entries(dir string) (found []string) {
	all, _ := os.ReadDir(dir)
	for _, e := range all {
		found = append(found, filepath.Join(dir, e.Name()))
	}
	return found
}

func zonesDir(dir string) string { return filepath.Join(dir, "state", "zones") }

// killLeftovers ends what a failed test's agent has left running.
func killLeftovers(dir string) {
	for _, p := range processes(dir) {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // It may end by itself.
	}
}
