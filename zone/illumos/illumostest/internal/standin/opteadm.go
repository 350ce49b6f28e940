package standin

import (
	"net/netip"
	"strings"
)

// A Port is a port of OPTE.
type Port struct {
	Name string
	// External are the options of the last set-external-ips, in their order.
	External []string
	// Subnets has the kind of each attached subnet.
	Subnets map[string]string
}

// opteadm simulates opteadm of OPTE: list-ports, create-xde with only a name, and what
// is set on a port.
func opteadm(c *call) int {
	var port string
	var options, rest []string
	for args := append(c.args, "")[1:]; len(args) > 1; args = args[1:] {
		switch {
		case args[0] == "-p":
			port, args = args[1], args[1:]
		case args[0] == "--external":
			options = append(options, args[0])
		case strings.HasPrefix(args[0], "--"):
			options = append(options, args[0], args[1])
			args = args[1:]
		default:
			rest = append(rest, args[0])
		}
	}
	switch {
	case c.verb == "list-ports":
		c.print("%-8s %s", "LINK", "MAC ADDRESS        IPv4 ADDRESS  STATE")
		for _, p := range sorted(c.Ports.All()) {
			c.print("%-8s %s", p.Name, "A8:40:25:F0:00:01  172.30.0.5    running")
			c.print("%-8s %s", "", "                                 ")
		}
		return 0
	case c.verb == "create-xde" && len(rest) == 1:
		c.Ports.put(rest[0], &Port{Name: rest[0], Subnets: map[string]string{}})
		return 0
	case port == "":
		return c.usage()
	}
	problem := ""
	c.Locked(func() { problem = c.setPort(port, options, rest) })
	if problem != "" {
		return c.errorf("Error: command %s failed: %s", c.verb, problem)
	}
	return 0
}

// setPort changes a port, or returns why it cannot.
func (c *call) setPort(name string, options, rest []string) (problem string) {
	p, ok := c.Ports.Get(name)
	if !ok {
		return `PortNotFound("` + name + `")`
	}
	switch {
	case c.verb == "set-external-ips" && len(rest) == 0:
		family := ""
		for _, o := range options {
			if ip, err := netip.ParseAddr(o); err == nil && family != "" && family != familyOf(ip) {
				return "expected IPv4 *or* IPv6 config."
			} else if err == nil {
				family = familyOf(ip)
			}
		}
		p.External = options
	case c.verb == "attach-subnet" && len(rest) == 1:
		p.Subnets[rest[0]] = strings.Join(options, "")
	case c.verb == "detach-subnet" && len(rest) == 1:
		delete(p.Subnets, rest[0])
	default:
		return "wrong, or not simulated"
	}
	c.Ports.put(name, p)
	return ""
}

func familyOf(ip netip.Addr) string {
	if ip.Is4() {
		return "v4"
	}
	return "v6"
}
