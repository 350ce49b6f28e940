package standin

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Processes returns the processes of a zone, or if zone is empty all that the host
// started, including zoneadmds and inits. It finds them by their environment, which
// zombies and commands do not have.
func (s *Store) Processes(zone string) []int {
	mark := "\x00" + hostVariable + "=" + s.Dir + "\x00"
	zoneMark := "\x00"
	if zone != "" {
		zoneMark = "\x00" + zoneVariable + "=" + zone + "\x00"
	}
	return processes(func(dir string) bool {
		env, _ := os.ReadFile(dir + "/environ")
		env = append([]byte{0}, env...)
		return bytes.Contains(env, []byte(mark)) && bytes.Contains(env, []byte(zoneMark))
	})
}

// running returns the processes whose program is in a directory.
func running(bin string) []int {
	return processes(func(dir string) bool {
		path, err := os.Readlink(dir + "/exe")
		return err == nil && filepath.Dir(path) == bin
	})
}

// processes returns the processes for whose directory in /proc is returns true.
func processes(is func(dir string) bool) (pids []int) {
	for _, entry := range must(os.ReadDir("/proc")) {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && is("/proc/"+entry.Name()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processName returns the base name of a process's argv[0].
func processName(pid int) string {
	argv, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	first, _, _ := bytes.Cut(argv, []byte{0})
	return filepath.Base(string(first))
}

// adoptOrphans makes this process the subreaper of its descendants.
func adoptOrphans() { check(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) }
