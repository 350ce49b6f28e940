// Package cgroup makes, kills and removes cgroup v2 groups by their directory.
// It needs cgroup.kill (Linux 5.14), with which every process below a group
// dies at once, those that are being forked included.
//
// What must not live here: controllers and limits, and what the groups are for.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrNone: this host shows the process no usable cgroup v2 hierarchy.
var ErrNone = errors.New("no cgroup v2 hierarchy")

// Own returns the directory of the group that this process is in, wherever the
// hierarchy is mounted.
func Own() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	return find(mounts, self)
}

// find works out the directory from what proc_pid_mountinfo(5) and cgroups(7)
// describe: the hierarchy's mount may show only what lies below a root.
func find(mountinfo, self []byte) (string, error) {
	path, ok := ownPath(self)
	if !ok {
		return "", ErrNone
	}
	for line := range bytes.Lines(mountinfo) {
		root, point, ok := cgroup2Mount(string(line))
		if !ok {
			continue
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		return filepath.Join(point, rel), nil
	}
	return "", ErrNone
}

func ownPath(self []byte) (string, bool) {
	for line := range bytes.Lines(self) {
		if path, ok := bytes.CutPrefix(bytes.TrimRight(line, "\n"), []byte("0::")); ok {
			// Within a cgroup namespace, a group outside it begins with "/..".
			outside := string(path) == "/.." || strings.HasPrefix(string(path), "/../")
			return string(path), strings.HasPrefix(string(path), "/") && !outside
		}
	}
	return "", false
}

// cgroup2Mount reads one line of mountinfo: id, parent, device, root, mount
// point, options, any number of tags, "-", type, source, super options.
func cgroup2Mount(line string) (root, point string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return "", "", false
	}
	for i, f := range fields[6:] {
		if f == "-" {
			tail := fields[6+i+1:]
			ok = len(tail) > 0 && tail[0] == "cgroup2"
			break
		}
	}
	root, point = unescape(fields[3]), unescape(fields[4])
	return root, point, ok && filepath.IsAbs(root) && filepath.IsAbs(point)
}

var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescape(s string) string { return octal.Replace(s) }

// Make makes the group, or keeps the one that is there, and checks that it can
// be killed.
func Make(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil {
		_ = os.Remove(dir)
		return fmt.Errorf("make cgroup: %w", err)
	}
	return f.Close()
}

// Kill kills every process in the group and below; no group is success.
func Kill(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.kill"), os.O_WRONLY, 0)
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("kill cgroup: %w", err)
	}
	_, err = f.WriteString("1")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("kill cgroup: %w", err)
	}
	return nil
}

// Populated tells whether a process lives in the group or below; ended ones
// that nobody has reaped do not count. No group is none.
func Populated(dir string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if gone(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at cgroup: %w", err)
	}
	return bytes.Contains(data, []byte("populated 1")), nil
}

// Remove removes the group and what was made below it. It fails while a
// process is left; no group is success.
func Remove(dir string) error {
	err := rmdir(dir)
	if err == nil || gone(err) {
		return nil
	}
	entries, rerr := os.ReadDir(dir)
	if rerr != nil {
		return fmt.Errorf("remove cgroup: %w", rerr)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := rmdir(dir); err != nil && !gone(err) {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}

func rmdir(dir string) error {
	if err := syscall.Rmdir(dir); err != nil {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// gone tells of a group that is not there, or was removed while it was open.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}
