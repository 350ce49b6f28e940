package standin

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// zoneArg takes -z zone off a command line. Without it the zone is the one the
// command runs in.
func (c *call) zoneArg() (args []string) {
	c.zone = os.Getenv(zoneVariable)
	args = slices.Clone(c.args)
	if i := slices.Index(args, "-z"); i >= 0 && i+1 < len(args) {
		c.zone = args[i+1]
		args = slices.Delete(args, i, i+2)
	}
	return args
}

// repository returns the services of the zone, or prints why it cannot.
func (c *call) repository() (map[string]Service, bool) {
	if c.zone == "" || c.zone == "global" {
		all := make(map[string]Service)
		for fmri, s := range c.Global.All() {
			all[fmri] = *s
		}
		return all, true
	}
	z, ok := c.Zones.Get(c.zone)
	switch {
	case !ok:
		c.complain("%s: zone \"%s\" does not exist", c.name, c.zone)
	case z.State != Running:
		c.complain("%s: zone \"%s\" is not running", c.name, c.zone)
	case !z.Repository || c.suffers(Silent, c.zone) != nil:
		c.complain("%s: Could not bind to repository server: repository server unavailable", c.name)
	default:
		return z.Services, true
	}
	return nil, false
}

// find returns the full names of the instances that a name may mean, sorted.
func find(all map[string]Service, name string) (found []string) {
	for _, fmri := range slices.Sorted(maps.Keys(all)) {
		service, _, _ := strings.Cut(strings.TrimPrefix(fmri, "svc:/"), ":")
		if name == fmri || "svc:/"+name == fmri || strings.TrimPrefix(name, "svc:/") == service ||
			strings.HasSuffix(service, "/"+name) {
			found = append(found, fmri)
		}
	}
	return found
}

// findAll is find for each name, or everything for no name.
func (c *call) findAll(all map[string]Service, names []string) (found []string, ok bool) {
	if len(names) == 0 {
		return slices.Sorted(maps.Keys(all)), true
	}
	for _, name := range names {
		matches := find(all, name)
		if len(matches) == 0 {
			c.complain("%s: Pattern '%s' doesn't match any instances", c.name, name)
			return nil, false
		}
		found = append(found, matches...)
	}
	return found, true
}

// svcs is svcs(1).
func svcs(c *call) int {
	args := c.zoneArg()
	set, values, names := flags(args, "oRsS")
	all, ok := c.repository()
	if !ok {
		return 1
	}
	if set['x'] && len(names) == 0 {
		names = slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(fmri string) bool { return all[fmri].State == "online" })
		if len(names) == 0 {
			return 0
		}
	}
	found, ok := c.findAll(all, names)
	if !ok {
		return 1
	}
	switch {
	case set['L']:
		for _, fmri := range found {
			c.print("%s", c.logOf(fmri))
		}
	case set['x']:
		for _, fmri := range found {
			c.explain(fmri, all[fmri])
		}
	default:
		return c.listServices(found, all, strings.Join(values['o'], ","), !set['H'], set['p'])
	}
	return 0
}

func (c *call) listServices(found []string, all map[string]Service, fields string, header, processes bool) int {
	if fields == "" {
		fields = "state,stime,fmri"
	}
	names := strings.Split(strings.ToLower(fields), ",")
	if header {
		c.print("%s", strings.ToUpper(strings.Join(names, " ")))
	}
	for _, fmri := range found {
		s := all[fmri]
		var row []string
		for _, name := range names {
			value, ok := s.field(name, fmri, slices.Contains(names, "nstate"))
			if !ok {
				return c.usage("Unknown column '%s'", name)
			}
			row = append(row, value)
		}
		c.print("%s", strings.Join(row, " "))
		if z, ok := c.Zones.Get(c.zone); ok && processes && fmri == c.Options().Service && z.ServerPID != 0 {
			c.print("               %s %8d %s", s.Since.Format(time.TimeOnly), z.ServerPID, "propolis-server")
		}
	}
	return 0
}

// field is one column. A service on its way has a star on its state unless the
// next state is asked for as well.
func (s Service) field(name, fmri string, nextToo bool) (string, bool) {
	service, instance, _ := strings.Cut(strings.TrimPrefix(fmri, "svc:/"), ":")
	switch name {
	case "state", "sta":
		if s.Next != "-" && !nextToo {
			return s.State + "*", true
		}
		return s.State, true
	case "nstate":
		return s.Next, true
	case "fmri":
		return fmri, true
	case "inst":
		return instance, true
	case "svc":
		return service, true
	case "stime":
		return s.Since.Format(time.TimeOnly), true
	case "ctid", "zone":
		return "-", true
	}
	return "", false
}

// logOf is where the service's log is, as the global zone sees it.
func (c *call) logOf(fmri string) string {
	root := "/"
	if c.zone != "" {
		root = c.root(c.zone)
	}
	return filepath.Join(root, serviceLog(fmri))
}

// serviceLog is the path of a service's log in its zone.
func serviceLog(fmri string) string {
	return "/var/svc/log/" + strings.ReplaceAll(strings.TrimPrefix(fmri, "svc:/"), "/", "-") + ".log"
}

func (c *call) explain(fmri string, s Service) {
	c.print("%s (?)", fmri)
	if c.zone != "" {
		c.print("  Zone: %s", c.zone)
	}
	c.print(" State: %s since %s", s.State, s.Since.Format(time.ANSIC))
	if s.Reason != "" {
		c.print("Reason: %s", s.Reason)
	}
	c.print("   See: %s", c.logOf(fmri))
	if s.State == "online" {
		c.print("Impact: None.\n")
		return
	}
	c.print("Impact: This service is not running.\n")
}

// svcprop is svcprop(1) for restarter/state, restarter/next_state and the
// properties of the server.
func svcprop(c *call) int {
	_, values, names := flags(c.zoneArg(), "ps")
	all, ok := c.repository()
	if !ok {
		return 1
	}
	found, ok := c.findAll(all, names)
	if !ok || len(names) == 0 {
		return 1
	}
	for _, fmri := range found {
		for _, property := range values['p'] {
			value, ok := c.property(fmri, all[fmri], property)
			if !ok {
				return c.complain("svcprop: Couldn't find property '%s' for instance '%s'.", property, fmri)
			}
			c.print("%s", value)
		}
	}
	return 0
}

func (c *call) property(fmri string, s Service, name string) (string, bool) {
	switch name {
	case "restarter/state":
		return s.State, true
	case "restarter/next_state":
		return strings.Replace(s.Next, "-", "none", 1), true
	}
	if z, ok := c.Zones.Get(c.zone); ok && fmri == c.Options().Service {
		value, known := z.Properties[name]
		return value, known
	}
	return "", false
}
