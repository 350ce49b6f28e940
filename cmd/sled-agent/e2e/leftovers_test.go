package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

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

// cgroups lists the control groups in the agents' own whose name contains the
// mark. A process that hid from processes would still be in one.
func cgroups(mark string) []string {
	if ownGroup() == "" || strings.Contains(mark, "/") {
		return nil
	}
	return named(ownGroup(), mark)
}

// entries lists what a directory holds.
func entries(dir string) []string { return named(dir, "") }

// named lists what a directory holds whose name contains the mark.
func named(dir, mark string) (found []string) {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1) // What there is of it.
	for _, name := range names {
		if strings.Contains(name, mark) {
			found = append(found, filepath.Join(dir, name))
		}
	}
	return found
}
