package standin

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Processes returns the processes of a zone, or for "" every process of the
// host: what carries the mark. A zombie has none.
func (s *Store) Processes(zone string) (pids []int) {
	marks := []string{hostVariable + "=" + s.Dir}
	if zone != "" {
		marks = append(marks, zoneVariable+"="+zone)
	}
	entries := must(os.ReadDir("/proc"))
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && carries(pid, marks) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func carries(pid int, marks []string) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false
	}
	env = append([]byte{0}, env...)
	for _, mark := range marks {
		if !bytes.Contains(env, append(append([]byte{0}, mark...), 0)) {
			return false
		}
	}
	return true
}

// adoptOrphans makes this process the parent of its descendants whose parents end.
func adoptOrphans() { check(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) }
