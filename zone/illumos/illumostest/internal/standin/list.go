package standin

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// list is zoneadm list.
func (c *call) list(args []string) int {
	var flags string
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") || strings.Trim(arg, "-cipvn") != "" {
			return c.usage("list: %s: not an option", arg)
		}
		flags += arg[1:]
	}
	has := func(flag string) bool { return strings.Contains(flags, flag) }
	switch {
	case has("p") && has("v"):
		return c.usage("list: -p and -v exclude each other")
	case c.zone != "" && (has("c") || has("i")):
		return c.usage("list: neither -c nor -i is allowed with -z")
	case c.zone != "":
		return c.listOne(has("p"))
	}
	if !has("n") {
		c.listLine(has("p"), globalZone)
	}
	zones := slices.SortedFunc(maps.Values(c.Zones.All()), byActivity)
	c.strike(c.occasion(During))
	for _, z := range zones {
		// Not one look at all: each zone is read for itself, and may be gone.
		z, ok := c.Zones.Get(z.Name)
		if ok && (z.Active() || has("c") || has("i") && z.State == Installed) {
			c.listLine(has("p"), z)
		}
	}
	return 0
}

var globalZone = &Zone{Name: "global", State: Running, Config: Config{Zonepath: "/", Brand: "ipkg", IPType: "shared"}}

// byActivity puts active zones first, by id, and the others in the order of the
// index file.
func byActivity(a, b *Zone) int {
	switch {
	case a.Active() != b.Active():
		return map[bool]int{true: -1, false: 1}[a.Active()]
	case a.Active():
		return cmp.Compare(a.ID, b.ID)
	}
	return cmp.Compare(a.Order, b.Order)
}

func (c *call) listOne(parsable bool) int {
	z, ok := c.Zones.Get(c.zone)
	switch {
	case c.zone == "global":
		c.listLine(parsable, globalZone)
	case !ok:
		return c.zperror("No such zone configured")
	default:
		c.listLine(parsable, z)
	}
	return 0
}

func (c *call) listLine(parsable bool, z *Zone) {
	if !parsable {
		c.print("%s", z.Name)
		return
	}
	id, ipType, state := "-", "excl", z.State
	if z.Active() {
		id = strconv.Itoa(z.ID)
	}
	if z.Config.IPType != "exclusive" {
		ipType = "shared"
	}
	if z != globalZone {
		if f := c.suffers(UnknownState, z.Name); f != nil {
			state = cmp.Or(f.Text, "quiescing")
		}
	}
	fields := []string{id, z.Name, state, strings.ReplaceAll(z.Config.Zonepath, ":", `\:`), z.UUID, z.Config.Brand, ipType}
	if c.Options().DebugID {
		fields = append(fields, fmt.Sprint(z.Order))
	}
	if c.suffers(ExtraFields, z.Name) != nil {
		fields = append(fields, "solaris10", "", "yes")
	}
	c.print("%s", strings.Join(fields, ":"))
}
