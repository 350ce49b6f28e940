package standin

import (
	"slices"
	"strings"
	"syscall"
	"time"
)

// svcadm is svcadm(8).
func svcadm(c *call) int {
	set, _, rest := flags(c.zoneArg(), "")
	verbs := []string{"enable", "disable", "restart", "refresh", "clear", "mark"}
	if len(rest) < 2 || !slices.Contains(verbs, rest[0]) {
		return c.usage("want a subcommand and an FMRI")
	}
	verb, names := rest[0], rest[1:]
	if verb == "mark" {
		verb, names = names[0], names[1:]
		if verb != "maintenance" && verb != "degraded" {
			return c.usage("mark: unknown state '%s'", verb)
		}
	}
	all, ok := c.repository()
	if !ok {
		return 1
	}
	found, ok := c.findAll(all, names)
	if !ok {
		return 1
	}
	for _, fmri := range found {
		if verb == "degraded" && all[fmri].State != "online" {
			return c.complain("svcadm: Instance \"%s\" is not in the online state.", fmri)
		}
		if verb == "clear" && all[fmri].State != "maintenance" && all[fmri].State != "degraded" {
			return c.complain("svcadm: Instance \"%s\" is not in a maintenance or degraded state.", fmri)
		}
		c.askRestarter(verb, fmri)
		if set['s'] && verb == "enable" && all[fmri].State == "maintenance" {
			return 3 + c.complain("svcadm: Instance \"%s\" is in maintenance state.", fmri) - 1
		}
	}
	return 0
}

// askRestarter lets the zone's init do it; the global zone's services change at once.
func (c *call) askRestarter(verb, fmri string) {
	if c.zone == "" || c.zone == "global" {
		c.Locked(func() {
			s, _ := c.Global.Get(fmri)
			state := map[string]string{"disable": "disabled", "maintenance": "maintenance", "degraded": "degraded"}[verb]
			if state == "" {
				state = "online"
			}
			s.State, s.Since = state, time.Now()
			c.Global.put(fmri, s)
		})
		return
	}
	c.Change(c.zone, func(z *Zone) {
		z.Requests = append(z.Requests, Request{verb, fmri})
		if z.InitPID != 0 && z.Repository {
			_ = syscall.Kill(z.InitPID, syscall.SIGUSR1)
		}
	})
}

// work does what svcadm asked for.
func (i *zoneinit) work() {
	var requests []Request
	i.update(func(z *Zone) { requests, z.Requests = z.Requests, nil })
	for _, r := range requests {
		if r.FMRI == i.Options().Service {
			i.obey(r.Verb)
		}
	}
}

func (i *zoneinit) obey(verb string) {
	switch verb {
	case "enable", "clear", "refresh":
		if z, ok := i.Zones.Get(i.zone); ok && z.Services[i.Options().Service].State == "degraded" {
			i.set(settled("online", ""))
		} else if i.server == nil {
			i.failures = 0
			i.start()
		}
	case "disable":
		i.stop()
		i.set(settled("disabled", "Disabled by an administrator."))
	case "restart":
		i.stop()
		i.start()
	case "maintenance":
		i.stop()
		i.set(settled("maintenance", "Maintenance requested by an administrator."))
	case "degraded":
		i.set(settled("degraded", "Degraded by an administrator."))
	}
}

// svccfg is svccfg(8) for setprop, listprop and refresh of the server's instance.
func svccfg(c *call) int {
	_, values, words := flags(c.zoneArg(), "s")
	all, ok := c.repository()
	if !ok {
		return 1
	}
	names := values['s']
	if len(names) != 1 || len(words) == 0 {
		return c.usage("want -s FMRI and a subcommand")
	}
	fmri := find(all, names[0])
	if len(fmri) != 1 || fmri[0] != c.Options().Service {
		return c.complain("svccfg: Pattern '%s' doesn't match any instances or services", names[0])
	}
	line := strings.Join(words[1:], " ")
	switch words[0] {
	case "refresh":
		return 0
	case "listprop":
		z, _ := c.Zones.Get(c.zone)
		for _, name := range []string{"datalink", "gateway", "listen_addr", "listen_port", "metric_addr"} {
			c.print("config/%s astring %s", name, z.Properties["config/"+name])
		}
		return 0
	case "setprop":
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return c.complain("svccfg: Syntax error.")
		}
		value = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(value), "astring:"))
		c.Change(c.zone, func(z *Zone) { z.Properties[strings.TrimSpace(name)] = strings.Trim(value, `"`) })
		return 0
	}
	return c.usage("unknown subcommand '%s'", words[0])
}
