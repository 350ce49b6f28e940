package crash

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A process is known by its pid and the time of its start: a pid alone may be
// given to another one.
type process struct {
	pid   int
	start string // in the kernel's words
}

func (p process) String() string { return fmt.Sprintf("%d started at %s", p.pid, p.start) }

// processAt returns the process that has a pid now.
func processAt(pid int) (process, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name, in parentheses, may hold anything; what follows it does not.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return process{}, false
	}
	return process{pid, fields[19]}, true
}

func (p process) lives() bool {
	now, ok := processAt(p.pid)
	return ok && now == p
}

// needsProc skips a test on a system that does not show its processes.
func needsProc(t testing.TB) {
	t.Helper()
	if _, ok := processAt(os.Getpid()); !ok {
		t.Skip("there is no /proc of Linux's kind")
	}
}

// found is a process by what it carries of a mark.
type found struct {
	pid  int
	line string
}

// mentioning returns the processes of which one of these files below /proc/<pid>
// mentions the mark.
func mentioning(mark string, files ...string) (all []found) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, file := range files {
			if text, _ := os.ReadFile(filepath.Join(dir, file)); bytes.Contains(text, []byte(mark)) {
				line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
				all = append(all, found{pid, strings.ReplaceAll(string(line), "\x00", " ")})
				break
			}
		}
	}
	return all
}

// leftovers lists the processes and control groups that carry the mark, which is
// a directory or an id.
func leftovers(mark string) (left []string) {
	for _, p := range mentioning(mark, "cmdline", "environ", "cgroup") {
		if _, ok := processAt(p.pid); ok {
			left = append(left, fmt.Sprintf("process %d: %s", p.pid, p.line))
		}
	}
	for _, dir := range cgroups(mark) {
		left = append(left, "control group "+dir)
	}
	return left
}

// cgroups lists the control groups whose name contains the mark, at most three
// levels below a hierarchy's root or this process's own group.
func cgroups(mark string) (all []string) {
	if strings.Contains(mark, "/") {
		return nil
	}
	own := ""
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			own = path
		}
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		for _, below := range []string{"", "*", "*/*"} {
			dirs, _ := filepath.Glob(filepath.Join(root, own, below, "*"+mark+"*"))
			all = append(all, dirs...)
		}
	}
	return all
}

// killLeftovers ends what a failed test's agent has left running.
func killLeftovers(dir string) {
	for _, p := range mentioning(dir, "cmdline", "environ") {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // It may end by itself.
	}
}
