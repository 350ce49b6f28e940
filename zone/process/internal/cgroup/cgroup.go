// Package cgroup makes, limits, kills and removes cgroup v2 groups by their
// directory. It needs cgroup.kill (Linux 5.14), which kills every process in a group
// and below at once, including those being forked. Of cgroup v1 it supports the
// hierarchy that counts tasks, since v2 cannot count them where that is mounted.
//
// What the groups are used for does not belong here.
package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrNone: no usable cgroup v2 hierarchy is visible to this process.
var ErrNone = errors.New("no cgroup v2 hierarchy")

// Own returns the directory of this process's group.
func Own() (string, error) { return own(find) }

// own reads the files of this process from which search determines a directory.
func own(search func(mountinfo, self []byte) (string, error)) (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find cgroups: %w", err)
	}
	return search(mounts, self)
}

// find determines the directory from the files described in proc_pid_mountinfo(5) and
// cgroups(7). The hierarchy's mount may show only the part below a root.
func find(mountinfo, self []byte) (string, error) {
	path, ok := pathOf(self, func(controllers string) bool { return controllers == "" })
	if !ok {
		return "", ErrNone
	}
	return below(mountinfo, path, func(tail []string) bool { return tail[0] == "cgroup2" })
}

// below returns the directory of a group's path in the hierarchy whose mount is
// accepts. The argument of is are the fields after the "-" of a mountinfo line: type,
// source, super options.
func below(mountinfo []byte, path string, is func(tail []string) bool) (string, error) {
	for line := range bytes.Lines(mountinfo) {
		root, point, ok := groupMount(string(line), is)
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

// groupMount reads one line of mountinfo: id, parent, device, root, mount
// point, options, any number of tags, "-", type, source, super options.
func groupMount(line string, is func(tail []string) bool) (root, point string, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 {
		return "", "", false
	}
	for i, f := range fields[6:] {
		if f == "-" {
			tail := fields[6+i+1:]
			ok = len(tail) > 0 && is(tail)
			break
		}
	}
	root, point = unescape(fields[3]), unescape(fields[4])
	return root, point, ok && filepath.IsAbs(root) && filepath.IsAbs(point)
}

var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func unescape(s string) string { return octal.Replace(s) }

// Make makes the group, or keeps an existing one, sets its limits and checks that it
// can be killed.
func Make(dir string, limits Limits) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.kill"), os.O_WRONLY, 0)
	if err == nil {
		_ = f.Close()
		err = limit(dir, limits)
	}
	if err != nil {
		_ = os.Remove(dir)
		return fmt.Errorf("make cgroup: %w", err)
	}
	return nil
}

// Enter moves a process into the group.
func Enter(dir string, pid int) error {
	if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
		return fmt.Errorf("enter cgroup: %w", err)
	}
	return nil
}

// Kill kills every process in the group and below. It succeeds if there is no group.
func Kill(dir string) error {
	if err := write(filepath.Join(dir, "cgroup.kill"), "1"); err != nil && !gone(err) {
		return fmt.Errorf("kill cgroup: %w", err)
	}
	return nil
}

// Populated reports whether the group or one below has a live process; zombies do not
// count. An absent group has none, if its hierarchy is visible. If the hierarchy is
// not visible, the error is ErrNone.
func Populated(dir string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if gone(err) {
		return false, visible(filepath.Dir(dir))
	}
	if err != nil {
		return false, fmt.Errorf("look at cgroup: %w", err)
	}
	return parsePopulated(data)
}

func parsePopulated(events []byte) (bool, error) {
	for line := range bytes.Lines(events) {
		switch string(bytes.TrimSpace(line)) {
		case "populated 0":
			return false, nil
		case "populated 1":
			return true, nil
		}
	}
	return false, fmt.Errorf("look at cgroup: its events lack populated: %q", events)
}

// visible returns ErrNone unless the nearest directory that exists, from dir
// upwards, is a group.
func visible(dir string) error {
	for {
		_, err := os.Stat(dir)
		if err == nil {
			_, err = os.Stat(filepath.Join(dir, "cgroup.procs"))
			if gone(err) {
				return fmt.Errorf("look at cgroup: %s is not in one: %w", dir, ErrNone)
			}
		}
		if err == nil {
			return nil
		}
		if !gone(err) {
			return fmt.Errorf("look at cgroup: %w", err)
		}
		if dir == filepath.Dir(dir) {
			return ErrNone
		}
		dir = filepath.Dir(dir)
	}
}

// Remove removes the group and all groups below it, at any depth. It fails while a
// process is left. It succeeds if there is no group.
func Remove(dir string) error {
	err := syscall.Rmdir(dir)
	if err != nil && !gone(err) {
		if err = removeBelow(dir); err == nil {
			err = syscall.Rmdir(dir)
		}
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("remove cgroup %s: %w", dir, err)
	}
	return nil
}

// removeBelow removes every group below dir. It keeps one of them open at a time and
// returns to the parent by "..", which is safe because groups cannot be moved.
func removeBelow(dir string) error {
	at, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	var down []string
	for {
		name, err := child(at)
		if err != nil {
			return err
		}
		next := name
		if name == "" {
			next = ".."
		}
		if next == ".." && len(down) == 0 {
			return nil
		}
		fd, err := unix.Openat(int(at.Fd()), next, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_ = at.Close()
		at = os.NewFile(uintptr(fd), "cgroup")
		if name != "" {
			down = append(down, name)
			continue
		}
		last := down[len(down)-1]
		down = down[:len(down)-1]
		if err := unix.Unlinkat(fd, last, unix.AT_REMOVEDIR); err != nil && !gone(err) {
			return fmt.Errorf("%s: %w", last, err)
		}
	}
}

// child returns the name of a child of an open group; empty if there is none.
func child(group *os.File) (string, error) {
	for {
		names, err := group.Readdirnames(64)
		for _, name := range names {
			var st unix.Stat_t
			if unix.Fstatat(int(group.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
				return name, nil
			}
		}
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
	}
}

// gone reports whether an error means that the group does not exist, or was removed
// while it was open.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV)
}
