package standin

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/uuid"
)

var zoneName = regexp.MustCompile(`^[A-Za-z0-9][-_.A-Za-z0-9]{0,62}$`)

func validZoneName(name string) bool {
	return zoneName.MatchString(name) && name != "global" && !strings.HasPrefix(name, "SUNW")
}

// zoneadm simulates zoneadm(8). It changes to the root directory and ignores SIGHUP.
func zoneadm(c *call) int {
	// Caught and not ignored, so that child processes do not inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	check(os.Chdir("/"))
	if len(c.args) == 2 && c.verb == "list" && c.zone == "" && strings.Trim(c.args[1], "-cip") == "" {
		return c.list()
	}
	run := map[string]func(*Zone, []string) int{"install": c.install, "uninstall": c.uninstall,
		"boot": c.throughDoor, "ready": c.throughDoor, "halt": c.throughDoor}[c.verb]
	switch {
	case run == nil || c.zone == "":
		return c.usage()
	case !validZoneName(c.zone):
		return c.zperror("Invalid argument: not a zone name")
	}
	z, ok := c.Zones.Get(c.zone)
	if !ok {
		return c.zperror("No such zone configured")
	}
	return run(z, c.args[1:])
}

// zerror prints an error in zoneadm's form, zperror in that of its library.
func (c *call) zerror(format string, args ...any) int {
	return c.errorf("zoneadm: zone '%s': %s", c.zone, fmt.Sprintf(format, args...))
}

func (c *call) zperror(message string) int { return c.errorf("zoneadm: %s: %s", c.zone, message) }

// list simulates zoneadm list -cip: the global zone, the active zones by id, and the
// others in the order of the index.
func (c *call) list() int {
	c.print("0:global:running:/::ipkg:shared")
	zones := slices.SortedFunc(maps.Values(c.Zones.All()), func(a, b *Zone) int {
		if a.Active() != b.Active() {
			return map[bool]int{true: -1, false: 1}[a.Active()]
		}
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Order, b.Order))
	})
	if f := c.apply(c.point(During)); f != nil {
		return c.fail(f)
	}
	for _, z := range zones {
		// The list is no snapshot: each zone is read separately and may be deleted.
		if z, ok := c.Zones.Get(z.Name); ok {
			c.listLine(z)
		}
	}
	return 0
}

func (c *call) listLine(z *Zone) {
	p := point{when: Before, command: c.name, verb: c.verb, object: z.Name}
	if f := c.take(Omit, p); f != nil {
		_ = c.fail(f)
		return
	}
	id, ipType := "-", "shared"
	if z.Active() {
		id = strconv.Itoa(z.ID)
	}
	if z.Config.Globals.Get("ip-type") == "exclusive" {
		ipType = "excl"
	}
	fields := []string{id, z.Name, z.State, strings.ReplaceAll(z.Config.Zonepath(), ":", `\:`), z.UUID,
		z.Config.Globals.Get("brand"), ipType}
	c.print("%s", strings.Join(fields, ":"))
}

// throughDoor simulates boot, ready and halt, which zoneadmd performs.
func (c *call) throughDoor(z *Zone, _ []string) int {
	switch uninstalled := z.State == Configured || z.State == Incomplete; {
	case c.verb != "halt" && uninstalled:
		return c.zerror("must be installed before %s.", c.verb)
	case c.verb == "halt" && z.State == Incomplete:
		return c.zerror("halt operation is invalid for zones in state '%s'.", z.State)
	case c.verb == "halt" && z.State == Configured:
		c.errorf("zone '%s': cannot manage a zone which is in state 'configured'", c.zone)
		return c.zerror("could not start zoneadmd")
	}
	unlock := c.lockZone(c.zone)
	c.ensureZoneadmd(z)
	unlock()
	if f := c.apply(c.point(During)); f != nil {
		return c.fail(f)
	}
	answer, err := c.callDoor(c.zone, c.verb)
	for line := range strings.Lines(answer.Text) {
		c.errorf("zone '%s': %s", c.zone, strings.TrimSuffix(line, "\n"))
	}
	if err != nil || answer.Exit != 0 {
		return c.zerror("call to zoneadmd failed")
	}
	return 0
}

// ensureZoneadmd starts the zone's zoneadmd if none runs.
func (c *call) ensureZoneadmd(z *Zone) {
	if _, err := c.callDoor(c.zone, ping); err == nil {
		return
	}
	if z.Active() {
		c.zerror("WARNING: zone is in state '%s', but zoneadmd does not appear to be available; "+
			"restarted zoneadmd to recover.", z.State)
	}
	c.startZoneadmd(c.zone)
}

// mayChange returns the zone if it is in one of the states that the verb requires,
// and prints an error otherwise.
func (c *call) mayChange(states ...string) (*Zone, bool) {
	z, ok := c.Zones.Get(c.zone)
	switch {
	case !ok:
		c.zperror("No such zone configured")
	case z.Active():
		c.zerror("%s operation is invalid for %s zones.", c.verb, z.State)
	case !slices.Contains(states, z.State):
		c.zerror("is already in state '%s'; %s operation is invalid.", z.State, c.verb)
	default:
		return z, true
	}
	return nil, false
}

// setState changes the state of an inactive zone. A configured zone has no uuid.
func (c *call) setState(state string) {
	c.Change(c.zone, func(z *Zone) {
		z.State = state
		z.UUID = cmp.Or(z.UUID, uuid.NewString())
		if state == Configured {
			z.UUID, z.Properties = "", nil
		}
	})
	c.Locked(c.writeIndex)
}

// maxHook limits the length of the install hook's command in bytes.
const maxHook = 1024

// install works in the client: if that is killed, the zone stays incomplete.
func (c *call) install(_ *Zone, images []string) int {
	defer c.lockZone(c.zone)()
	z, ok := c.mayChange(Configured)
	if !ok {
		return 1
	}
	path := z.Config.Zonepath()
	hook := fmt.Sprintf("exec /usr/lib/brand/%s/install %s %s %s", z.Config.Globals.Get("brand"), c.zone, path, strings.Join(images, " "))
	if len(hook) >= maxHook {
		return c.zerror("Command line too long")
	}
	c.setState(Incomplete)
	c.makeZonepath(path)
	if f := c.incompleteFault(); f != nil {
		return c.fail(f)
	}
	exit := c.brandInstall(filepath.Join(path, "root"), images)
	switch exit {
	case 0:
		c.setState(Installed)
		return 0
	case 254: // the hook left no files
		c.setState(Configured)
	}
	return c.zerror("install operation failed: the brand's hook exited with %d", exit)
}

// incompleteFault applies faults of an install or uninstall while the zone is incomplete.
func (c *call) incompleteFault() *Fault {
	p := c.point(During)
	p.state = Incomplete
	return c.apply(p)
}

// makeZonepath creates the zonepath, as a dataset if its parent directory is one.
func (c *call) makeZonepath(path string) {
	for _, parent := range c.Datasets.All() {
		if parent.Mountpoint == filepath.Dir(path) {
			name := parent.Name + "/" + filepath.Base(path)
			c.Datasets.put(name, &Dataset{Name: name, Mountpoint: path})
		}
	}
	check(os.MkdirAll(path, 0o700))
}

// brandHook applies faults of a hook of the zone's brand.
func (h *host) brandHook(verb, zone string) *Fault {
	return h.apply(point{when: Before, command: "brand", verb: verb, object: zone})
}

// brandInstall simulates the brand's install hook.
func (c *call) brandInstall(root string, images []string) int {
	if f := c.brandHook("install", c.zone); f != nil {
		return c.fail(f)
	}
	// The shell that runs the hook splits words; nothing is quoted.
	words := strings.Join(images, " ")
	if strings.ContainsAny(words, "|&;<>()$`\\\"'*?[#~\n") {
		c.errorf("sh: syntax error near unexpected token")
		return 2
	}
	if _, err := os.Lstat(root); err == nil {
		c.errorf("ERROR: %s already exists", root)
		return 255
	}
	for image := range strings.FieldsSeq(words) {
		if _, err := os.ReadFile(image); err != nil {
			c.errorf("ERROR: cannot read image %s", image)
			return 255
		}
	}
	for _, dir := range []string{profileDir, "var/svc/log", "tmp"} {
		check(os.MkdirAll(filepath.Join(root, dir), 0o755))
	}
	return 0
}

// uninstall removes the root, and keeps the zonepath and its dataset.
func (c *call) uninstall(_ *Zone, args []string) int {
	if !slices.Contains(args, "-F") {
		return c.errorf("Input not from terminal and -F not specified: uninstall aborted.")
	}
	if _, ok := c.mayChange(Installed, Incomplete); !ok {
		return 1
	}
	// zoneadmd ends after its current request, unless the zone is active then.
	_, _ = c.callDoor(c.zone, dismiss)
	defer c.lockZone(c.zone)()
	z, ok := c.mayChange(Installed, Incomplete)
	if !ok {
		return 1
	}
	c.setState(Incomplete)
	f := c.incompleteFault()
	if f == nil {
		f = c.brandHook("uninstall", c.zone)
	}
	if f != nil {
		c.fail(f)
		return c.zerror("uninstall operation failed: the brand's hook exited with %d", f.Exit)
	}
	check(os.RemoveAll(filepath.Join(z.Config.Zonepath(), "root")))
	c.setState(Configured)
	return 0
}
