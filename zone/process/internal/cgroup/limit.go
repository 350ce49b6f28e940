package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits are the limits of a group; 0 means no limit.
type Limits struct {
	// Tasks is the maximum number of threads.
	Tasks int
	// Depth and Descendants bound the depth and the number of groups below it.
	Depth, Descendants int
}

// limit writes the limits that the kernel and the group's parent support.
func limit(dir string, l Limits) error {
	for _, f := range []struct {
		name  string
		value int
	}{{"pids.max", l.Tasks}, {"cgroup.max.depth", l.Depth}, {"cgroup.max.descendants", l.Descendants}} {
		if f.value <= 0 {
			continue
		}
		err := write(filepath.Join(dir, f.name), strconv.Itoa(f.value))
		if err != nil && !gone(err) {
			return fmt.Errorf("limit cgroup: %w", err)
		}
	}
	return nil
}

func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// LimitsTasks reports whether groups made below a group of the v2 hierarchy can limit
// their tasks.
func LimitsTasks(dir string) bool {
	enabled, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	return err == nil && slices.Contains(strings.Fields(string(enabled)), "pids")
}

// Base returns the group below which a process in the group own makes groups: own
// itself, or its parent if a service manager has delegated that and put only the group
// own there (DelegateSubgroup= of systemd.exec(5)). Only a group without processes of
// its own can count the tasks of the groups below it.
func Base(own string) string {
	above := filepath.Dir(own)
	if !delegated(above) || !empty(above) {
		return own
	}
	return above
}

// empty reports whether the group itself has no process.
func empty(dir string) bool {
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	return err == nil && len(bytes.TrimSpace(procs)) == 0
}

// CountTasks enables the limit of tasks for groups below this one, if that is
// possible: the controller must exist, and the group must have no processes or be the
// root group, which is the only one without cgroup.type.
func CountTasks(dir string) {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil || !slices.Contains(strings.Fields(string(controllers)), "pids") || LimitsTasks(dir) {
		return
	}
	_, err = os.Lstat(filepath.Join(dir, "cgroup.type"))
	if empty(dir) || errors.Is(err, fs.ErrNotExist) {
		_ = write(filepath.Join(dir, "cgroup.subtree_control"), "+pids")
	}
}

// OwnTasks returns the directory of this process's group in the hierarchy of cgroup
// v1 that counts tasks, or ErrNone.
func OwnTasks() (string, error) { return own(findTasks) }

func findTasks(mountinfo, self []byte) (string, error) {
	path, ok := pathOf(self, func(controllers string) bool {
		return slices.Contains(strings.Split(controllers, ","), "pids")
	})
	if !ok {
		return "", ErrNone
	}
	return below(mountinfo, path, func(tail []string) bool {
		return len(tail) > 2 && tail[0] == "cgroup" && slices.Contains(strings.Split(tail[2], ","), "pids")
	})
}

// pathOf returns the path of a process's group in the hierarchy whose controllers is
// accepts. Each line of proc_pid_cgroup(5) is id, controllers, path.
func pathOf(self []byte, is func(controllers string) bool) (string, bool) {
	for line := range bytes.Lines(self) {
		fields := strings.SplitN(strings.TrimRight(string(line), "\n"), ":", 3)
		if len(fields) != 3 || !is(fields[1]) {
			continue
		}
		// The path of a group outside of this cgroup namespace begins with "/..".
		path := fields[2]
		outside := path == "/.." || strings.HasPrefix(path, "/../")
		return path, strings.HasPrefix(path, "/") && !outside
	}
	return "", false
}

// MakeTasks makes a group of the v1 hierarchy that counts tasks.
func MakeTasks(dir string, tasks int) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup: %w", err)
	}
	if err := write(filepath.Join(dir, "pids.max"), strconv.Itoa(tasks)); err != nil {
		_ = os.Remove(dir)
		return fmt.Errorf("limit cgroup: %w", err)
	}
	return nil
}
