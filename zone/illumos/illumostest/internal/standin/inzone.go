package standin

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// zlogin is zlogin(1) with a command: a shell runs it in the zone's root directory.
func zlogin(c *call) int {
	_, _, rest := flags(c.args, "le")
	if len(rest) < 2 {
		return c.usage("want a zone and a command")
	}
	// Options after the zone's name are the command's own.
	zone := rest[0]
	words := c.args[slices.Index(c.args, zone)+1:]
	z, ok := c.Zones.Get(zone)
	switch {
	case !ok:
		return c.complain("zlogin: zone '%s' unknown", zone)
	case z.State != Running:
		return c.complain("zlogin: login allowed only to running zones (%s is '%s').", zone, z.State)
	}
	cmd := exec.Command("/bin/sh", "-c", strings.Join(words, " "))
	cmd.Env = c.marker(zone)
	cmd.Dir = filepath.Join(z.Config.Zonepath, "root")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, &c.out, &c.err
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode()
	}
	return c.complain("zlogin: %v", err)
}

// pkill is pkill(1) with -z.
func pkill(c *call) int {
	signal, args := syscall.SIGTERM, slices.Clone(c.args)
	args = slices.DeleteFunc(args, func(a string) bool {
		s, ok := map[string]syscall.Signal{"-9": syscall.SIGKILL, "-KILL": syscall.SIGKILL, "-SIGKILL": syscall.SIGKILL,
			"-15": syscall.SIGTERM, "-TERM": syscall.SIGTERM, "-6": syscall.SIGABRT, "-ABRT": syscall.SIGABRT,
			"-0": syscall.Signal(0)}[a]
		if ok {
			signal = s
		}
		return ok
	})
	return c.match(args, func(zone string, pids []int, all bool) {
		if all {
			c.killZone(zone, signal)
			return
		}
		for _, pid := range pids {
			if c.suffers(Unkillable, zone) == nil {
				_ = syscall.Kill(pid, signal)
			}
		}
	})
}

// pgrep is pgrep(1) with -z.
func pgrep(c *call) int {
	return c.match(c.args, func(_ string, pids []int, _ bool) {
		slices.Sort(pids)
		for _, pid := range pids {
			c.print("%d", pid)
		}
	})
}

// match calls act with the processes of each zone that match, and returns 0 if
// there is one, 1 if there is none, 2 on bad usage.
func (c *call) match(args []string, act func(zone string, pids []int, all bool)) int {
	_, values, patterns := flags(args, "z")
	zones := strings.Join(values['z'], ",")
	if zones == "" || len(patterns) > 1 {
		return c.usage("want -z zone and at most one pattern")
	}
	found := false
	for _, name := range strings.Split(zones, ",") {
		zone, ok := c.activeZone(name)
		if !ok {
			return c.usage("invalid argument for option -- z: unknown zone '%s'", name)
		}
		pids := c.Processes(zone)
		if len(patterns) > 0 {
			pattern, err := regexp.Compile(patterns[0])
			if err != nil {
				return c.usage("%v", err)
			}
			pids = slices.DeleteFunc(pids, func(pid int) bool { return !pattern.MatchString(processName(pid)) })
		}
		if len(pids) > 0 {
			found = true
			act(zone, pids, len(patterns) == 0)
		}
	}
	if !found {
		return 1
	}
	return 0
}

// activeZone returns the name of the active zone with this name or id.
func (c *call) activeZone(name string) (string, bool) {
	for _, z := range c.Zones.All() {
		if z.Active() && (z.Name == name || strconv.Itoa(z.ID) == name) {
			return z.Name, true
		}
	}
	return "", false
}

// processName is the name of a process's program, or "" where it cannot be told.
func processName(pid int) string {
	argv, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(argv), "\x00")
	return filepath.Base(first)
}
