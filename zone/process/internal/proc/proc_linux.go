package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const procDir = "/proc"

// Check returns an error if this host lacks what the package needs.
func Check() error {
	if err := checkView(); err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("open a pidfd, which needs Linux 5.3: %w", err)
	}
	return unix.Close(fd)
}

// checkView returns an error if /proc belongs to another PID namespace than this
// process, since its pids then belong to other processes.
func checkView() error {
	status, err := os.ReadFile(procDir + "/self/status")
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look at own process: %w: /proc is not mounted, or is not that of this PID namespace", err)
	}
	if err != nil {
		return fmt.Errorf("look at own process: %w", err)
	}
	return ownView(status, os.Getpid())
}

// ownView checks a /proc/self/status: NSpid lists the process's pid in the PID
// namespace of /proc's mount and in each one below, down to its own
// (proc_pid_status(5)).
func ownView(status []byte, pid int) error {
	pids := strings.Fields(field(status, "NSpid:"))
	if len(pids) == 1 && pids[0] == strconv.Itoa(pid) {
		return nil
	}
	return fmt.Errorf("/proc shows this process as pid %s, it is %d: mount the /proc of its own PID namespace",
		strings.Join(pids, " in the outermost namespace, within it "), pid)
}

// field returns the rest of the line that begins with name.
func field(status []byte, name string) string {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strings.TrimSpace(string(rest))
		}
	}
	return ""
}

// Stat looks at one process. The error is ErrGone if there is none.
func Stat(pid int) (Info, error) { return statIn(procDir, pid) }

func statIn(dir string, pid int) (Info, error) {
	data, err := readFile(dir, pid, "stat")
	if err != nil {
		return Info{}, err
	}
	info, err := ParseStat(data)
	if err != nil {
		return Info{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return info, nil
}

// readFile reads a file in a process's directory in /proc. The error is ErrGone if
// there is no such process, ErrHidden if this user may not read the file.
func readFile(dir string, pid int, name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(pid), name))
	return data, ofProcess(pid, err)
}

// readMemory is readFile for files whose content is in the process's memory.
func readMemory(pid int, name string) ([]byte, error) {
	data, err := reads.readFile(filepath.Join(procDir, strconv.Itoa(pid), name))
	return data, ofProcess(pid, err)
}

// ofProcess translates an error from a process's file in /proc.
func ofProcess(pid int, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ESRCH):
		return ErrGone
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("look at process %d: %w (%w)", pid, ErrHidden, err)
	default:
		return fmt.Errorf("look at process %d: %w", pid, err)
	}
}

// list looks at every process that is visible to this one. Those that end meanwhile
// may be missing. If one cannot be looked at, the whole list fails.
func list() ([]Info, error) { return listIn(procDir) }

func listIn(dir string) ([]Info, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer d.Close()
	var infos []Info
	self := false
	for {
		names, err := d.Readdirnames(512)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		for _, name := range names {
			pid, perr := strconv.Atoi(name)
			if perr != nil {
				continue
			}
			self = self || pid == os.Getpid()
			info, serr := statIn(dir, pid)
			if errors.Is(serr, ErrGone) {
				continue
			}
			if serr != nil {
				return nil, fmt.Errorf("list processes: %w", serr)
			}
			infos = append(infos, info)
		}
		if err != nil {
			break
		}
	}
	if !self {
		return nil, errors.New("list processes: this one is missing")
	}
	return infos, nil
}

// How often, and with which pause, a process without arguments is looked at again: it
// may be between its old program and the new one.
const (
	startingTries = 20
	startingPause = time.Millisecond
)

// Args returns the command line of a process. It retries for a short time if the
// process is starting a program.
func Args(pid int) (args []string, err error) {
	for try := 1; ; try++ {
		args, err = readArgs(pid, "cmdline")
		if !errors.Is(err, ErrStarting) || try == startingTries {
			return args, err
		}
		time.Sleep(startingPause)
	}
}

// Started returns the command line of a process and the value of a variable in the
// environment it was started with, empty if it had none. It does not retry.
func Started(pid int, key string) (args []string, value string, err error) {
	args, err = readArgs(pid, "cmdline")
	if err != nil {
		return nil, "", err
	}
	env, err := readArgs(pid, "environ")
	return args, lookup(env, key), err
}

// readArgs reads one of the two lists of strings that a program is started with,
// cmdline or environ. It is empty for kernel threads and for processes that have
// cleared it.
func readArgs(pid int, name string) ([]string, error) {
	data, err := readMemory(pid, name)
	if len(data) > 0 {
		return split(data), nil
	}
	// A process whose first thread has ended has no memory to read from, which is
	// ESRCH since Linux 6.12. Only its stat shows whether it is gone.
	if err != nil && !errors.Is(err, ErrHidden) && !errors.Is(err, ErrGone) {
		return nil, err
	}
	final, serr := isFinal(pid, name)
	if serr != nil {
		return nil, serr
	}
	if final && !errors.Is(err, ErrGone) {
		return nil, err
	}
	// The strings can be read through any live thread.
	threads, _ := os.ReadDir(filepath.Join(procDir, strconv.Itoa(pid), "task"))
	for _, t := range threads {
		data, _ := readMemory(pid, filepath.Join("task", t.Name(), name))
		if len(data) > 0 {
			return split(data), nil
		}
	}
	return nil, fmt.Errorf("look at process %d: %w", pid, ErrStarting)
}

func split(data []byte) []string {
	return strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
}

// Fields of /proc/<pid>/stat with the end addresses of the program's arguments and
// environment. They are 0 until those exist, and for readers that may not look into the
// process.
const (
	statArgEnd = 49 - 3
	statEnvEnd = 51 - 3
)

// isFinal reports whether an empty list of strings is final, because the process is
// neither starting a program nor ending.
func isFinal(pid int, name string) (bool, error) {
	data, err := readFile(procDir, pid, "stat")
	if err != nil {
		return false, err
	}
	info, err := ParseStat(data)
	if err != nil {
		return false, fmt.Errorf("look at process %d: %w", pid, err)
	}
	switch {
	case info.Ended():
		return false, ErrGone
	case info.Kernel:
		return true, nil
	case info.Exiting:
		return false, nil
	}
	if _, err := readMemory(pid, name); errors.Is(err, ErrHidden) {
		return true, nil
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	end := map[string]int{"cmdline": statArgEnd, "environ": statEnvEnd}[name]
	return len(fields) > end && string(fields[end]) != "0", nil
}

// Users returns the real and the effective user of a process.
func Users(pid int) (real, effective int, err error) {
	status, err := readFile(procDir, pid, "status")
	if err != nil {
		return 0, 0, err
	}
	ids := strings.Fields(field(status, "Uid:"))
	if len(ids) < 2 {
		return 0, 0, fmt.Errorf("look at process %d: its status has no user ids", pid)
	}
	if real, err = strconv.Atoi(ids[0]); err == nil {
		effective, err = strconv.Atoi(ids[1])
	}
	if err != nil {
		return 0, 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return real, effective, nil
}

// Group returns the path of a process's group in the cgroup v2 hierarchy, relative to
// this process's cgroup namespace; empty if there is none.
func Group(pid int) (string, error) {
	groups, err := readFile(procDir, pid, "cgroup")
	return field(groups, "0::"), err
}

// Subreaper makes this process the parent of every orphan among its descendants.
func Subreaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}
