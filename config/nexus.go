package config

import (
	"fmt"
	"net/netip"
)

// maxNameServers bounds how long one attempt to find Nexus takes.
const maxNameServers = 8

// nameServer is the address of a DNS server.
func nameServer(s string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 || a.Addr().IsUnspecified() {
		return a, fmt.Errorf("%q is not an IP address and port; write for example \"[fd00::1]:53\"", s)
	}
	return a, nil
}

func atMost[T any](n int, parse func([]string) ([]T, error)) func([]string) ([]T, error) {
	return func(words []string) ([]T, error) {
		if len(words) > n {
			return nil, fmt.Errorf("has %d items, at most %d are possible", len(words), n)
		}
		return parse(words)
	}
}

// foundByName drops the default addresses if Nexus is found by DNS: records are not for
// whatever listens there.
func (c *Config) foundByName(values map[string]any) {
	if _, given := values["nexus.addresses"]; !given && len(c.Nexus.DNS) > 0 {
		c.Nexus.Addresses = []string{}
	}
}
