package standin

import (
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

var zoneName = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]*$`)

func validZoneName(name string) bool {
	return len(name) <= 63 && zoneName.MatchString(name) && name != "global" && !strings.HasPrefix(name, "SUNW")
}

// zoneadm is zoneadm(8). It works in the root directory, and ignores SIGHUP.
func zoneadm(c *call) int {
	// Caught and not ignored, so that what it starts does not inherit it.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	check(os.Chdir("/"))
	args := c.args
	if len(args) >= 2 && args[0] == "-z" {
		c.zone, args = args[1], args[2:]
	}
	if len(args) == 0 {
		return c.usage("a subcommand is needed")
	}
	verb, rest := args[0], args[1:]
	if verb == "list" {
		return c.list(rest)
	}
	run := map[string]func(*Zone, []string) int{
		"install": c.install, "uninstall": c.uninstall, "mark": c.mark, "verify": c.verify,
		"boot": c.throughDoor, "ready": c.throughDoor, "halt": c.throughDoor, "shutdown": c.throughDoor,
	}[verb]
	switch {
	case run == nil:
		return c.usage("%s: unknown subcommand", verb)
	case c.zone == "":
		return c.usage("%s: a zone name is needed: -z zonename", verb)
	case c.zone == "global":
		return c.zerror("%s operation is invalid for the global zone.", verb)
	case !validZoneName(c.zone):
		return c.zperror("Invalid argument: not a zone name")
	}
	z, ok := c.Zones.Get(c.zone)
	if !ok {
		return c.zperror("No such zone configured")
	}
	return run(z, rest)
}

// zerror complains in zoneadm's own words.
func (c *call) zerror(format string, args ...any) int {
	return c.complain("zoneadm: zone '%s': %s", c.zone, fmt.Sprintf(format, args...))
}

// zperror complains in the words of the library.
func (c *call) zperror(message string) int { return c.complain("zoneadm: %s: %s", c.zone, message) }

// relay prints what zoneadmd said.
func (c *call) relay(text string) {
	for line := range strings.Lines(text) {
		c.complain("zone '%s': %s", c.zone, strings.TrimSuffix(line, "\n"))
	}
}

// throughDoor is boot, ready, halt and shutdown: zoneadmd does them.
func (c *call) throughDoor(z *Zone, args []string) int {
	if exit := c.beforeDoor(z); exit != 0 {
		return exit
	}
	unlock := c.lockZone(c.zone)
	exit := c.ensureZoneadmd(z)
	unlock()
	if exit != 0 {
		return exit
	}
	if f := c.strike(c.occasion(During)); f != nil {
		return c.fails(f)
	}
	answer, err := c.callDoor(c.zone, request{Verb: c.verb, Args: args})
	if err != nil {
		return c.zerror("call to zoneadmd failed")
	}
	c.relay(answer.Text)
	if answer.Exit != 0 {
		c.zerror("call to zoneadmd failed")
	}
	return answer.Exit
}

// beforeDoor refuses what zoneadm does not even ask zoneadmd for.
func (c *call) beforeDoor(z *Zone) int {
	uninstalled := z.State == Configured || z.State == Incomplete
	switch {
	case (c.verb == "boot" || c.verb == "ready") && uninstalled:
		return c.zerror("must be installed before %s.", c.verb)
	case c.verb == "ready" && z.Active() && z.State != Ready:
		return c.zerror("ready operation is invalid for %s zones.", z.State)
	case c.verb == "shutdown" && z.State != Running:
		return c.zerror("not running")
	case c.verb == "halt" && z.State == Incomplete:
		return c.zerror("halt operation is invalid for zones in state '%s'.", z.State)
	}
	return 0
}

// ensureZoneadmd starts the zone's zoneadmd if it does not answer.
func (c *call) ensureZoneadmd(z *Zone) int {
	if c.answers(c.zone) {
		return 0
	}
	if z.State == Configured {
		c.relay("cannot manage a zone which is in state 'configured'")
		return c.zerror("could not start zoneadmd")
	}
	if z.Active() {
		c.zerror("WARNING: zone is in state '%s', but zoneadmd does not appear to be available; "+
			"restarted zoneadmd to recover.", z.State)
	}
	if err := c.startZoneadmd(c.zone); err != nil {
		return c.zerror("could not start zoneadmd")
	}
	return 0
}

// invalidWhileActive refuses verbs that need the zone to be inactive.
func (c *call) invalidWhileActive(z *Zone) bool {
	if z.Active() {
		c.zerror("%s operation is invalid for %s zones.", c.verb, z.State)
	}
	return z.Active()
}

func (c *call) mark(z *Zone, args []string) int {
	force := slices.Contains(args, "-F")
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == "-F" })
	allowed := []string{Incomplete}
	if force {
		allowed = []string{Incomplete, Configured, Installed}
	}
	if len(args) != 1 || !slices.Contains(allowed, args[0]) {
		return c.usage("mark: the state is missing or wrong")
	}
	if c.invalidWhileActive(z) {
		return 1
	}
	defer c.lockZone(c.zone)()
	if z.State == Configured && !force {
		return c.zerror("mark operation is invalid for zones in state 'configured'.")
	}
	c.setState(args[0])
	return 0
}

// setState changes what the index file says. A configured zone has no uuid.
func (c *call) setState(state string) {
	c.Change(c.zone, func(z *Zone) {
		z.State = state
		if z.UUID == "" && state != Configured {
			z.UUID = newUUID()
		}
		if state == Configured {
			z.UUID, z.Properties = "", nil
		}
	})
}

func (c *call) verify(z *Zone, _ []string) int {
	if problem := c.problem(z); problem != "" {
		c.zerror("%s", problem)
		return c.complain("zoneadm: zone %s failed to verify", c.zone)
	}
	return 0
}

// problem says what is not acceptable in a zone's configuration as the host is.
func (c *call) problem(z *Zone) string {
	if z.State != Configured && z.State != Incomplete {
		info, err := os.Stat(z.Config.Zonepath)
		switch {
		case err != nil:
			return fmt.Sprintf("could not verify zonepath %s: No such file or directory", z.Config.Zonepath)
		case info.Mode().Perm() != 0o700:
			return fmt.Sprintf("%s must have mode 0700", z.Config.Zonepath)
		}
	}
	return ""
}
