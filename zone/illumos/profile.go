package illumos

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// profilePath is the site profile that SMF applies at a zone's first boot, relative
// to the zone's root (smf_bootstrap(7)).
const profilePath = "var/svc/profile/site.xml"

// A property is a name and a value. The server's service has properties of type
// astring only.
type property struct{ name, value string }

// profile returns an SMF profile with the configuration of the server's service.
// The service's method configures the zone's network from it.
func (m *Manager) profile(addr netip.AddrPort, datalink string, gateway netip.Addr) []byte {
	service, instance := splitFMRI(m.cfg.Service)
	var b bytes.Buffer
	line := func(format string, args ...string) {
		escaped := make([]any, len(args))
		for i, arg := range args {
			escaped[i] = escape(arg)
		}
		fmt.Fprintf(&b, format+"\n", escaped...)
	}
	line(`<?xml version="1.0"?>`)
	line(`<!DOCTYPE service_bundle SYSTEM "/usr/share/lib/xml/dtd/service_bundle.dtd.1">`)
	line(`<service_bundle type="profile" name="sled-agent">`)
	line(`  <service version="1" type="service" name="%s">`, service)
	line(`    <instance enabled="true" name="%s">`, instance)
	line(`      <property_group type="application" name="config">`)
	for _, p := range []property{
		{"datalink", datalink},
		{"gateway", gateway.String()},
		{"listen_addr", addr.Addr().String()},
		{"listen_port", strconv.Itoa(int(addr.Port()))},
		{"metric_addr", "dns"},
	} {
		line(`        <propval type="astring" name="%s" value="%s"/>`, p.name, p.value)
	}
	line(`      </property_group>`)
	line(`    </instance>`)
	line(`  </service>`)
	line(`</service_bundle>`)
	return b.Bytes()
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // writes to a strings.Builder do not fail
	return b.String()
}

// splitFMRI splits svc:/SERVICE:INSTANCE.
func splitFMRI(fmri string) (service, instance string) {
	fmri = strings.TrimPrefix(fmri, "svc:/")
	service, instance, ok := strings.Cut(fmri, ":")
	if !ok {
		instance = "default"
	}
	return service, instance
}

// writeProfile writes a zone's profile. The zone's root is not trusted: symbolic
// links that lead out of it are not followed.
func (m *Manager) writeProfile(name string, profile []byte) error {
	root, err := os.OpenRoot(filepath.Join(m.zonePath(name), "root"))
	if err != nil {
		return fmt.Errorf("write SMF profile: %w", err)
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(profilePath), 0o755); err != nil {
		return fmt.Errorf("write SMF profile: %w", err)
	}
	if err := root.WriteFile(profilePath, profile, 0o644); err != nil {
		return fmt.Errorf("write SMF profile: %w", err)
	}
	return nil
}

// gateway returns the default gateway for a server with this address: an address of
// the host in the same prefix. The server's method adds a default route through it,
// and fails if it is unreachable (propolis method_script.sh).
func (m *Manager) gateway(ctx context.Context, links []link, server netip.Addr) (netip.Addr, error) {
	if m.cfg.Gateway.IsValid() {
		return m.cfg.Gateway, nil
	}
	addrs, err := m.hostAddrs(ctx, links)
	if err != nil {
		return netip.Addr{}, err
	}
	var others []string
	for _, a := range addrs {
		if a.State == "ok" && a.Contains(server) {
			return a.Addr, nil
		}
		others = append(others, fmt.Sprintf("%s/%d on %s (%s)", a.Addr, a.Bits, a.Interface, a.State))
	}
	return netip.Addr{}, fmt.Errorf("the host has no address on %s in state ok whose prefix contains %s, but %q: "+
		"add one with ipadm create-addr, or set zones.illumos.gateway", m.cfg.Link, server, others)
}

// hostAddrs returns the host's own addresses on Link.
func (m *Manager) hostAddrs(ctx context.Context, links []link) ([]parse.Addr, error) {
	argv := []string{"ipadm", "show-addr", "-p", "-o", parse.AddrFields}
	out, err := m.commands.Output(ctx, command.Call{Argv: argv, Budget: quickBudget})
	if err != nil {
		return nil, fmt.Errorf("find the host's address on %s: %w", m.cfg.Link, err)
	}
	interfaces := m.hostInterfaces(links)
	return slices.DeleteFunc(parse.Addrs(out), func(a parse.Addr) bool {
		return !slices.Contains(interfaces, a.Interface) || a.Addr.IsLinkLocalUnicast() || a.Addr.IsUnspecified()
	}), nil
}

// hostInterfaces returns the interfaces that can have the host's addresses on Link:
// the link itself, and the host's VNICs over it, since an etherstub cannot have an
// address.
func (m *Manager) hostInterfaces(links []link) []string {
	interfaces := []string{m.cfg.Link}
	for _, l := range links {
		if l.over == m.cfg.Link && !ownLink.MatchString(l.name) {
			interfaces = append(interfaces, l.name)
		}
	}
	return interfaces
}
