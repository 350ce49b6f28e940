package illumos

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/zone/illumos/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// profilePath is where SMF looks for a site's profile at a zone's first boot,
// relative to the zone's root (smf_bootstrap(7)).
const profilePath = "var/svc/profile/site.xml"

// A property is one of the server's service, all of which are of type astring.
type property struct{ name, value string }

// profile is an SMF profile that gives the server's service its configuration.
// Its method sets the zone's network up from it, the addresses too.
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
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
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

// writeProfile writes a zone's profile. Nothing in the zone's root is trusted to
// be what its name says: a link in it that leads out of it is not followed.
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

// gateway is what the zone routes through, for a server of this address.
func (m *Manager) gateway(ctx context.Context, server netip.Addr) (netip.Addr, error) {
	if m.cfg.Gateway.IsValid() {
		return m.cfg.Gateway, nil
	}
	out, err := m.commands.Output(ctx, command.Call{Argv: []string{"dladm", "show-vnic", "-p", "-o", "LINK,OVER"}, Budget: quickBudget})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the host's address on %s: %w", m.cfg.Link, err)
	}
	interfaces := m.hostInterfaces(parse.Records(out, 2))
	out, err = m.commands.Output(ctx, command.Call{Argv: []string{"ipadm", "show-addr", "-p", "-o", parse.AddrFields}, Budget: quickBudget})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the host's address on %s: %w", m.cfg.Link, err)
	}
	for _, a := range parse.Addrs(out) {
		same := a.Addr.Is4() == server.Unmap().Is4()
		if same && slices.Contains(interfaces, a.Interface) && !a.Addr.IsLinkLocalUnicast() && !a.Addr.IsUnspecified() {
			return a.Addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("find the host's address on %s: %w", m.cfg.Link,
		errors.New("there is none of the server's family; set zones.illumos.gateway"))
}

// hostInterfaces are those through which the host itself is on Link: the link,
// if it can have an address, and the host's VNICs over it, since an etherstub
// has none of its own.
func (m *Manager) hostInterfaces(vnics [][]string) []string {
	interfaces := []string{m.cfg.Link}
	for _, f := range vnics {
		link, over := f[0], f[1]
		zones := named(link, m.control.Base()) || named(link, m.ports.Base())
		if over == m.cfg.Link && !zones {
			interfaces = append(interfaces, link)
		}
	}
	return interfaces
}
