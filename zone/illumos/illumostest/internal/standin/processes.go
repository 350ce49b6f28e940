package standin

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Each process of the host has the state directory in its environment, and each
// process of a zone the zone's name. Unlike parent, session and group, a process
// cannot lose these by accident. Commands have neither: they run without environment.
const (
	hostVariable = "ILLUMOS_STANDIN"
	zoneVariable = "ILLUMOS_STANDIN_ZONE"
)

// process returns a command that runs as a process of a zone, or of the host if zone
// is empty.
func (h *host) process(zone, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"PATH=" + filepath.Dir(h.program) + ":/usr/sbin:/usr/bin:/sbin:/bin", hostVariable + "=" + h.Dir}
	if zone != "" {
		cmd.Env = append(cmd.Env, zoneVariable+"="+zone)
	}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// killZone kills every process of the zone. init is first, since it restarts others.
func (s *Store) killZone(zone string) {
	pids := s.Processes(zone)
	if z, ok := s.Zones.Get(zone); ok && z.InitPID != 0 {
		pids = append([]int{z.InitPID}, pids...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
	}
}

// alive reports whether a process or zombie with this pid exists.
func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// pkill simulates pkill(1) with -9 and -z, which takes a list. It kills none if one zone of the
// list is not known (illumos pgrep.c).
func pkill(c *call) int {
	return c.match(len(c.args) == 1 && c.args[0] == "-9", "", func([]int) {
		for zone := range strings.SplitSeq(c.zone, ",") {
			c.killZone(zone)
		}
	})
}

// pgrep simulates pgrep(1) with -z and an optional pattern.
func pgrep(c *call) int {
	return c.match(len(c.args) <= 1, c.verb, func(pids []int) {
		for _, pid := range pids {
			c.print("%d", pid)
		}
	})
}

// match calls act with the matching processes of the zones. It returns 0 if there are
// any, 1 if there are none or the zones are not active, and 2 on wrong usage or if one
// of the zones does not exist.
func (c *call) match(known bool, pattern string, act func(pids []int)) int {
	name, err := regexp.Compile(pattern)
	if !known || c.zone == "" || err != nil {
		return c.usage()
	}
	var pids []int
	for zone := range strings.SplitSeq(c.zone, ",") {
		z, there := c.Zones.Get(zone)
		if !there {
			return 1 + c.errorf("%s: invalid argument for option -- z: unknown zone '%s'", c.name, zone)
		}
		if z.Active() { // others have no processes
			pids = append(pids, c.Processes(zone)...)
		}
	}
	pids = slices.DeleteFunc(pids, func(pid int) bool { return !name.MatchString(processName(pid)) })
	if len(pids) == 0 {
		return 1
	}
	act(pids)
	return 0
}
