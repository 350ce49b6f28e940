package standin

import (
	"path/filepath"
	"strings"
	"time"
)

// services returns the SMF instances of the zone of -z, or of the global zone without
// -z. It prints an error and returns nil if it cannot.
func (c *call) services() (map[string]Service, *Zone) {
	z, ok := c.Zones.Get(c.zone)
	switch {
	case c.zone == "":
		return map[string]Service{baseline: {State: "online", Next: "-"}}, z
	case !ok:
		c.errorf("%s: zone \"%s\" does not exist", c.name, c.zone)
	case z.State != Running:
		c.errorf("%s: zone \"%s\" is not running", c.name, c.zone)
	case !z.Repository:
		c.errorf("%s: Could not bind to repository server: repository server unavailable", c.name)
	default:
		return map[string]Service{singleUser: {State: "online", Next: "-"}, DefaultService: z.Service}, z
	}
	return nil, nil
}

// service returns the instance that the remaining arguments name, and its zone.
func (c *call) service(rest []string) (s Service, z *Zone, exit int) {
	all, z := c.services()
	fmri := strings.Join(rest, " ")
	s, ok := all[fmri]
	switch {
	case all == nil:
		return s, z, 1
	case !ok:
		return s, z, c.errorf("%s: Pattern '%s' doesn't match any instances", c.name, fmri)
	}
	return s, z, 0
}

// svcs simulates svcs(1) for one instance, with -H and -o state,nstate, or with -x.
func svcs(c *call) int {
	values, rest := flags(c.args, "o")
	if _, explain := values['x']; explain {
		return c.explain()
	}
	s, z, exit := c.service(rest)
	if exit != 0 {
		return exit
	}
	// The state of a service in transition has an asterisk unless nstate is shown.
	state := s.State
	if s.Next != "-" && !strings.Contains(values['o'], "nstate") {
		state += "*"
	}
	exit = c.show([]row{{"state": state, "nstate": s.Next}}, values['o'], " ")
	if _, processes := values['p']; processes && z.ServerPID != 0 {
		c.print("               %s %8d propolis-server", time.Now().Format(time.TimeOnly), z.ServerPID)
	}
	return exit
}

// explain simulates svcs -x: it prints why the server does not run.
func (c *call) explain() int {
	all, z := c.services()
	if all == nil {
		return 1
	}
	if z.Service.State != "online" {
		c.print("%s (?)\n  Zone: %s\n State: %s since %s\nReason: %s\n   See: %s\nImpact: This service is not running.\n",
			DefaultService, c.zone, z.Service.State, time.Now().Format(time.ANSIC), z.Service.Reason,
			filepath.Join(z.Config.root(), serviceLog))
	}
	return 0
}

// svcprop simulates svcprop(1) with -p restarter/state.
func svcprop(c *call) int {
	values, rest := flags(c.args, "p")
	s, _, exit := c.service(rest)
	if exit == 0 && values['p'] != "restarter/state" {
		return c.usage()
	}
	if exit == 0 {
		c.print("%s", s.State)
	}
	return exit
}
