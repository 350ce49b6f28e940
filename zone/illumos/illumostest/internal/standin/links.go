package standin

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

var linkName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]{0,29}[0-9]$`)

// maxMTU is the limit for a link that is not over another.
const maxMTU = 9216

// dladm simulates dladm(8).
func dladm(c *call) int {
	if c.take(LinksAway, c.point(Before)) != nil {
		if c.verb == "show-link" {
			return 0
		}
		return c.errorf("dladm: invalid link name '%s'", c.object)
	}
	if c.verb == "show-link" {
		values, _ := flags(c.args[1:], "o")
		return c.showLinks(values['o'])
	}
	values, rest := flags(append(c.args, "")[1:], "lmp")
	if len(rest) != 2 { // the name, and ""
		return c.usage()
	}
	problem := ""
	c.Locked(func() {
		switch c.verb {
		case "create-vnic":
			problem = c.createVNIC(&Link{Name: rest[0], Class: "vnic", Over: values['l'], MAC: values['m'], MTU: 1500}, values['p'])
		case "delete-vnic":
			problem = c.deleteVNIC(rest[0])
		case "set-linkprop":
			problem = c.setMTU(rest[0], values['p'])
		default:
			problem = "unknown subcommand '" + c.verb + "'"
		}
	})
	if problem != "" {
		return c.errorf("dladm: %s", problem)
	}
	return 0
}

// createVNIC creates a VNIC, or returns why it cannot. It ignores an MTU, as illumos
// may (issue 15695).
func (c *call) createVNIC(l *Link, props string) (problem string) {
	if !linkName.MatchString(l.Name) {
		return "invalid link name '" + l.Name + "'"
	}
	if props != "" && !strings.HasPrefix(props, "mtu=") {
		return "invalid vnic property '" + props + "'"
	}
	failed := "vnic creation over " + l.Over + " failed: "
	over, there := c.Links.Get(l.Over)
	if _, exists := c.Links.Get(l.Name); exists {
		return failed + "object already exists"
	}
	// Octets are written without leading zeros.
	l.MAC = regexp.MustCompile(`\b0+([0-9a-f])`).ReplaceAllString(strings.ToLower(l.MAC), "$1")
	var first int
	_, _ = fmt.Sscanf(l.MAC, "%x:", &first)
	switch {
	case !there:
		return failed + "object not found"
	case over.Class == "vnic" || over.Class == "vlan":
		return failed + "invalid argument"
	case first&1 != 0:
		return failed + "invalid MAC address value"
	}
	for _, other := range c.Links.All() {
		if l.MAC != "" && other.Over == l.Over && other.MAC == l.MAC {
			return failed + "MAC address is already in use"
		}
	}
	if n := c.next("MAC"); l.MAC == "" {
		l.MAC = fmt.Sprintf("2:8:20:%x:%x:%x", n>>16&0xff, n>>8&0xff, n&0xff)
	}
	c.Links.put(l.Name, l)
	return ""
}

func (c *call) deleteVNIC(name string) (problem string) {
	l, ok := c.Links.Get(name)
	switch {
	case !ok || l.Class != "vnic":
		return "invalid link name '" + name + "'"
	case c.zoneOf(name) != "":
		return "vnic deletion failed: link busy"
	}
	for _, a := range c.Addresses.All() {
		if strings.HasPrefix(a.Name, name+"/") {
			return "vnic deletion failed: link busy"
		}
	}
	c.Links.drop(name)
	return ""
}

// setMTU simulates set-linkprop. A link's MTU is at most that of the link below.
func (c *call) setMTU(name, prop string) (problem string) {
	l, ok := c.Links.Get(name)
	if !ok {
		return "invalid link name '" + name + "'"
	}
	limit := maxMTU
	if over, ok := c.Links.Get(l.Over); ok {
		limit = over.MTU
	}
	value, ok := strings.CutPrefix(prop, "mtu=")
	if !ok {
		return "invalid link property '" + prop + "'"
	}
	mtu, err := strconv.Atoi(value)
	if err != nil || mtu < 576 || mtu > limit {
		return "warning: cannot set link property 'mtu' on '" + name + "': invalid value"
	}
	l.MTU = mtu
	c.Links.put(name, l)
	return ""
}

// zoneOf returns the name of the zone that holds the link, or "".
func (s *Store) zoneOf(link string) string {
	for _, z := range s.Zones.All() {
		if z.holds(link) {
			return z.Name
		}
	}
	return ""
}

func (c *call) showLinks(fields string) int {
	var rows []row
	for _, l := range sorted(c.Links.All()) {
		rows = append(rows, row{"link": l.Name, "class": l.Class, "over": l.Over, "mtu": strconv.Itoa(l.MTU)})
	}
	return c.show(rows, fields, ":")
}

// ipadm simulates ipadm(8) for the global zone: show-addr -p -o.
func ipadm(c *call) int {
	values, rest := flags(append(c.args, "")[1:], "o")
	if c.verb != "show-addr" || len(rest) != 1 {
		return c.usage()
	}
	var rows []row
	for _, a := range sorted(c.Addresses.All()) {
		rows = append(rows, row{"addrobj": a.Name, "type": a.Type, "state": "ok", "addr": a.Addr})
	}
	return c.show(rows, values['o'], ":")
}

// zfs simulates zfs(8) for filesystems: list -H -o, optionally of a path, and destroy.
func zfs(c *call) int {
	values, rest := flags(append(c.args, "")[1:], "o")
	all := c.Datasets.All()
	switch {
	case c.verb == "list":
		path := rest[0]
		if path != "" {
			all = map[string]*Dataset{"": datasetOf(all, path)}
		}
		var rows []row
		for _, d := range sorted(all) {
			rows = append(rows, row{"name": d.Name, "mountpoint": d.Mountpoint})
		}
		return c.show(rows, values['o'], "\t")
	case c.verb == "destroy" && all[rest[0]] == nil:
		return c.errorf("cannot open '%s': dataset does not exist", rest[0])
	case c.verb == "destroy":
		return c.destroyDataset(all[rest[0]])
	}
	return c.usage()
}

// datasetOf returns the dataset that contains a path.
func datasetOf(all map[string]*Dataset, path string) *Dataset {
	best := &Dataset{}
	for _, d := range all {
		if strings.HasPrefix(path+"/", d.Mountpoint+"/") && len(d.Mountpoint) > len(best.Mountpoint) {
			best = d
		}
	}
	return best
}

func (c *call) destroyDataset(d *Dataset) int {
	for _, other := range c.Datasets.All() {
		if strings.HasPrefix(other.Name, d.Name+"/") {
			return c.errorf("cannot destroy '%s': filesystem has children", d.Name)
		}
	}
	for _, z := range c.Zones.All() {
		if z.Active() && z.Config.Zonepath() == d.Mountpoint {
			return c.errorf("cannot destroy '%s': dataset is busy", d.Name)
		}
	}
	c.Locked(func() { _ = os.Remove(c.Datasets.file(d.Name)) })
	check(os.RemoveAll(d.Mountpoint))
	return 0
}
