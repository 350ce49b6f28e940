package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Check returns why this host cannot do what the package needs.
func Check() error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("open a pidfd, which needs Linux 5.3: %w", err)
	}
	return unix.Close(fd)
}

// BootID names this boot of the host.
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// Stat looks at one process. It fails with ErrGone if there is none.
func Stat(pid int) (Info, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
		return Info{}, ErrGone
	case err != nil:
		return Info{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return ParseStat(data)
}

// list looks at every process that this one may see. Those that end meanwhile
// may be missing.
func list() ([]Info, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	infos := make([]Info, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if info, err := Stat(pid); err == nil {
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// HasEnv tells whether the process was started with this variable, given as
// KEY=value. A process that may not be looked into has not.
func HasEnv(pid int, variable string) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(data, []byte{0}) {
		if string(v) == variable {
			return true
		}
	}
	return false
}

// HasArgs tells whether the process's command line is exactly args, and the
// process this user's.
func HasArgs(pid int, args ...string) bool {
	path := "/proc/" + strconv.Itoa(pid) + "/cmdline"
	data, err := os.ReadFile(path)
	if err != nil || string(data) != strings.Join(args, "\x00")+"\x00" {
		return false
	}
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && int(st.Uid) == os.Geteuid()
}

// Subreaper makes this process the parent of every orphan among its descendants.
func Subreaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}
