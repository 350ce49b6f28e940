package standin

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var linkName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*[0-9]$`)

// dladm is dladm(8).
func dladm(c *call) int {
	if len(c.args) == 0 {
		return c.complain("usage: dladm <subcommand> <args> ...")
	}
	set, values, rest := flags(c.args[1:], "lmvpoRszf")
	if strings.HasPrefix(c.verb, "show-") {
		// There -p has no value and asks for parsable output; in show-linkprop
		// it names the properties and -c asks.
		takes := "los"
		if c.verb == "show-linkprop" {
			takes = "op"
		}
		set, values, rest = flags(c.args[1:], takes)
	}
	name, one := "", func(letter byte) string { return strings.Join(values[letter], ",") }
	if len(rest) > 0 {
		name = rest[len(rest)-1]
	}
	switch c.verb {
	case "create-vnic":
		return c.createVNIC(name, one('l'), one('m'), one('v'))
	case "delete-vnic":
		return c.deleteLink("vnic", name)
	case "create-etherstub":
		return c.createEtherstub(name)
	case "delete-etherstub":
		return c.deleteLink("etherstub", name)
	case "show-vnic":
		return c.showLinks("vnic", name, one('l'), one('o'), set['p'])
	case "show-etherstub":
		return c.showLinks("etherstub", name, "", one('o'), set['p'])
	case "show-link":
		return c.showLinks("", name, "", one('o'), set['p'])
	case "show-linkprop":
		return c.showLinkProp(name, one('p'), one('o'), set['c'])
	case "set-linkprop":
		return c.setLinkProp(name, one('p'))
	}
	return c.complain("dladm: unknown subcommand '%s'", c.verb)
}

// newLink puts a link in place, or says why it cannot.
func (c *call) newLink(l *Link) (reason string) {
	switch {
	case !linkName.MatchString(l.Name) || len(l.Name) > 31:
		return "invalid link"
	}
	c.Locked(func() {
		if _, exists := c.Links.Get(l.Name); exists {
			reason = "object already exists"
			return
		}
		if _, exists := c.Links.Get(l.Over); l.Over != "" && !exists {
			reason = "object not found"
			return
		}
		if l.Class == "vnic" && l.MAC == "" {
			var n int
			c.count(func(m *meta) { m.NextMAC++; n = m.NextMAC })
			l.MAC = fmt.Sprintf("2:8:20:%x:%x:%x", n>>16&0xff, n>>8&0xff, n&0xff)
		}
		c.Links.put(l.Name, l)
	})
	return reason
}

// createVNIC disregards a maximum transfer unit, as illumos may (15695).
func (c *call) createVNIC(name, over, mac, vid string) int {
	if name == "" || over == "" {
		return c.complain("dladm: create-vnic: a link and a name are needed")
	}
	if !linkName.MatchString(name) || len(name) > 31 {
		return c.complain("dladm: invalid link name '%s'", name)
	}
	l := &Link{Name: name, Class: "vnic", Over: over, MAC: unpadded(mac), MTU: 1500}
	l.VID, _ = strconv.Atoi(vid)
	if reason := c.newLink(l); reason != "" {
		return c.complain("dladm: vnic creation over %s failed: %s", over, reason)
	}
	return 0
}

// unpadded is a hardware address as dladm prints it.
func unpadded(mac string) string {
	parts := strings.Split(mac, ":")
	for i, p := range parts {
		if p = strings.TrimLeft(p, "0"); p == "" && mac != "" {
			p = "0"
		}
		parts[i] = strings.ToLower(p)
	}
	return strings.Join(parts, ":")
}

func (c *call) createEtherstub(name string) int {
	if reason := c.newLink(&Link{Name: name, Class: "etherstub", MTU: 9000}); reason != "" {
		return c.complain("dladm: etherstub creation failed: %s", reason)
	}
	return 0
}

func (c *call) deleteLink(class, name string) int {
	if c.suffers(LinkBusy, name) != nil {
		return c.complain("dladm: %s deletion failed: link busy", class)
	}
	known, busy := false, false
	c.Locked(func() {
		l, ok := c.Links.Get(name)
		if known = ok && l.Class == class; !known {
			return
		}
		if busy = c.busy(l); !busy {
			c.Links.drop(name)
		}
	})
	switch {
	case !known:
		return c.complain("dladm: invalid link name '%s'", name)
	case busy:
		return c.complain("dladm: %s deletion failed: link busy", class)
	}
	return 0
}

func (s *Store) busy(l *Link) bool {
	over := func(other *Link) bool { return other.Over == l.Name }
	return l.Plumbed || time.Now().Before(l.BusyUntil) || s.zoneOf(l.Name) != "" ||
		slices.ContainsFunc(slices.Collect(maps.Values(s.Links.All())), over)
}

// zoneOf returns the zone that has the link, or "".
func (s *Store) zoneOf(link string) string {
	for _, z := range s.Zones.All() {
		if z.holds(link) {
			return z.Name
		}
	}
	return ""
}

func (c *call) showLinks(class, name, over, fields string, parsable bool) int {
	t := table{fields: []string{"LINK", "OVER", "SPEED", "MACADDRESS", "MACADDRTYPE", "VID", "ZONE", "CLASS", "MTU", "STATE", "BRIDGE"}}
	links := c.Links.All()
	for _, key := range slices.Sorted(maps.Keys(links)) {
		l := links[key]
		if class != "" && l.Class != class || name != "" && l.Name != name || over != "" && l.Over != over {
			continue
		}
		zone := c.zoneOf(l.Name)
		t.rows = append(t.rows, []string{l.Name, l.Over, "0", l.MAC, "random", strconv.Itoa(l.VID), zone, l.Class,
			strconv.Itoa(l.MTU), "up", ""})
	}
	if name != "" && len(t.rows) == 0 {
		return c.complain("dladm: invalid %s name '%s': object not found", strings.TrimPrefix(c.verb, "show-"), name)
	}
	if fields == "" && !parsable {
		fields = "LINK,OVER,SPEED,MACADDRESS,MACADDRTYPE,VID"
	}
	return c.show(t, fields, parsable)
}

func (c *call) showLinkProp(name, props, fields string, parsable bool) int {
	l, ok := c.Links.Get(name)
	if !ok {
		return c.complain("dladm: invalid link name '%s'", name)
	}
	all := map[string]string{"mtu": strconv.Itoa(l.MTU), "zone": c.zoneOf(name)}
	maps.Copy(all, l.Props)
	names := slices.Sorted(maps.Keys(all))
	if props != "" {
		names = strings.Split(props, ",")
	}
	t := table{fields: []string{"LINK", "PROPERTY", "PERM", "VALUE", "EFFECTIVE", "DEFAULT", "POSSIBLE"}}
	for _, prop := range names {
		value, known := all[prop]
		if !known {
			return c.complain("dladm: invalid link property '%s'", prop)
		}
		t.rows = append(t.rows, []string{name, prop, "rw", value, value, "", ""})
	}
	return c.show(t, fields, parsable)
}

func (c *call) setLinkProp(name, props string) int {
	reason := ""
	c.Locked(func() {
		l, ok := c.Links.Get(name)
		if !ok {
			reason = fmt.Sprintf("dladm: invalid link name '%s'", name)
			return
		}
		for _, prop := range strings.Split(props, ",") {
			key, value, _ := strings.Cut(prop, "=")
			mtu, err := strconv.Atoi(value)
			switch {
			case key == "mtu" && (err != nil || mtu < 576 || mtu > 9216):
				reason = "dladm: warning: cannot set link property 'mtu' on '" + name + "': invalid value"
				return
			case key == "mtu":
				l.MTU = mtu
			default:
				if l.Props == nil {
					l.Props = make(map[string]string)
				}
				l.Props[key] = value
			}
		}
		c.Links.put(name, l)
	})
	if reason != "" {
		return c.complain("%s", reason)
	}
	return 0
}
