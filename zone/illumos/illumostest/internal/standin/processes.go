package standin

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Each process of the host carries the state directory in its environment, and
// each process of a zone the zone's name: whatever it does to its parent,
// session and group, these stay. (Commands do not: who runs them clears it.)
const (
	hostVariable = "ILLUMOS_STANDIN"
	zoneVariable = "ILLUMOS_STANDIN_ZONE"
)

// marker is the environment of a process of the host, or of a zone.
func (h *host) marker(zone string) []string {
	env := []string{"PATH=" + filepath.Dir(h.program) + ":/usr/sbin:/usr/bin:/sbin:/bin", hostVariable + "=" + h.Dir}
	if zone != "" {
		env = append(env, zoneVariable+"="+zone)
	}
	return env
}

// killZone sends a signal to every process of the zone and returns how many
// there were.
func (s *Store) killZone(zone string, signal syscall.Signal) int {
	pids := s.Processes(zone)
	if len(pids) > 0 && s.suffers(Unkillable, zone) != nil {
		return len(pids)
	}
	// Init first: else it restarts what ends.
	if z, ok := s.Zones.Get(zone); ok && z.InitPID != 0 {
		_ = syscall.Kill(z.InitPID, signal)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, signal)
	}
	return len(pids)
}

// alive tells whether there is such a process, a zombie included.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// Runs tells whether a process runs a program in this directory, as far as that
// can be told; a zombie runs nothing.
func Runs(pid int, dir string) bool {
	program, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && filepath.Dir(program) == dir
}
