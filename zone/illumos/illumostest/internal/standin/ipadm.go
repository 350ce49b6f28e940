package standin

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// ipadm is ipadm(8), for the global zone.
func ipadm(c *call) int {
	if len(c.args) == 0 {
		return c.complain("usage: ipadm <subcommand> <args> ...")
	}
	set, values, rest := flags(c.args[1:], "Tapmo")
	if strings.HasPrefix(c.verb, "show-") {
		set, values, rest = flags(c.args[1:], "o")
	}
	name, one := "", func(letter byte) string { return strings.Join(values[letter], ",") }
	if len(rest) > 0 {
		name = rest[len(rest)-1]
	}
	switch c.verb {
	case "create-addr":
		return c.createAddr(name, cmp.Or(one('T'), "static"), one('a'))
	case "delete-addr":
		return c.deleteAddr(name)
	case "show-addr":
		return c.showAddr(name, one('o'), set['p'])
	case "create-if":
		return c.plumb(name, true)
	case "delete-if":
		return c.plumb(name, false)
	case "show-if":
		return c.showIf(name, one('o'), set['p'])
	case "set-ifprop":
		if l, ok := c.Links.Get(name); !ok || !l.Plumbed {
			return c.complain("ipadm: set-ifprop: Interface does not exist")
		}
		return 0
	}
	return c.complain("ipadm: unknown subcommand '%s'", c.verb)
}

// changeLink changes a link under the lock and returns what is wrong.
func (c *call) changeLink(name string, change func(*Link) string) (problem string) {
	c.Locked(func() {
		l, ok := c.Links.Get(name)
		if !ok || c.zoneOf(name) != "" {
			problem = "Could not open link: Object not found"
			return
		}
		if problem = change(l); problem == "" {
			c.Links.put(name, l)
		}
	})
	return problem
}

func (c *call) createAddr(name, kind, addr string) int {
	link, _, ok := strings.Cut(name, "/")
	if !ok {
		return c.complain("ipadm: invalid address object name '%s'", name)
	}
	problem := c.changeLink(link, func(l *Link) string {
		if _, exists := c.Addresses.Get(name); exists {
			return "Address object already exists"
		}
		l.Plumbed = true
		c.Addresses.put(name, &Address{Name: name, Type: kind, Addr: addr})
		return ""
	})
	if problem != "" {
		return c.complain("ipadm: could not create address: %s", problem)
	}
	return 0
}

func (c *call) deleteAddr(name string) int {
	found := false
	c.Locked(func() {
		if _, found = c.Addresses.Get(name); found {
			c.Addresses.drop(name)
		}
	})
	if !found {
		return c.complain("ipadm: could not delete address: Object not found")
	}
	return 0
}

func (c *call) plumb(name string, up bool) int {
	problem := c.changeLink(name, func(l *Link) string {
		switch {
		case l.Plumbed && up:
			return "Interface already exists"
		case !l.Plumbed && !up:
			return "Interface does not exist"
		}
		l.Plumbed = up
		for key := range c.Addresses.All() {
			if !up && strings.HasPrefix(key, name+"/") {
				c.Addresses.drop(key)
			}
		}
		return ""
	})
	if problem != "" {
		return c.complain("ipadm: cannot %s interface %s: %s", strings.TrimSuffix(c.verb, "-if"), name, problem)
	}
	return 0
}

// showAddr lists the addresses of a name, or of an interface.
func (c *call) showAddr(name, fields string, parsable bool) int {
	t := table{fields: []string{"ADDROBJ", "TYPE", "STATE", "CURRENT", "PERSISTENT", "ADDR"}}
	all := c.Addresses.All()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if a := all[key]; name == "" || key == name || strings.HasPrefix(key, strings.TrimSuffix(name, "/")+"/") {
			t.rows = append(t.rows, []string{key, a.Type, "ok", "U----", "---", a.Addr})
		}
	}
	if name != "" && len(t.rows) == 0 {
		return c.complain("ipadm: address object '%s': Object not found", name)
	}
	if fields == "" && !parsable {
		fields = "ADDROBJ,TYPE,STATE,ADDR"
	}
	return c.show(t, fields, parsable)
}

func (c *call) showIf(name, fields string, parsable bool) int {
	t := table{fields: []string{"IFNAME", "STATE", "CURRENT", "PERSISTENT"}}
	all := c.Links.All()
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if all[key].Plumbed && (name == "" || name == key) {
			t.rows = append(t.rows, []string{key, "ok", "bm--------46", "---"})
		}
	}
	if name != "" && len(t.rows) == 0 {
		return c.complain("ipadm: cannot get information for interface '%s': Interface does not exist", name)
	}
	return c.show(t, fields, parsable)
}
