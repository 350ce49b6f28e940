package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// A process is one that was found by what it carries of a zone.
type process struct {
	pid  int
	line string // its command line, for people
}

// processes returns those whose command line, environment or control group
// mentions the mark. The kernel hides nothing from this, a detached process
// neither. Without a /proc there are none to be seen.
func processes(mark string) (found []process) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, file := range []string{"cmdline", "environ", "cgroup"} {
			if text, _ := os.ReadFile(filepath.Join(dir, file)); bytes.Contains(text, []byte(mark)) {
				line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
				found = append(found, process{pid, strings.ReplaceAll(string(line), "\x00", " ")})
				break
			}
		}
	}
	return found
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

// cgroups lists the control groups whose name contains the mark, at most three
// levels below a hierarchy's root or this process's own group.
func cgroups(mark string) (found []string) {
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
			found = append(found, dirs...)
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
		_, rest, ok := bytes.Cut(text[:], []byte(") "))
		if i := bytes.LastIndex(text, []byte(") ")); ok && i >= 0 {
			rest = text[i+2:]
		}
		fields := strings.Fields(string(rest))
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
