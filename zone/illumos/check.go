package illumos

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/sledagent/sledagent/internal/command"
)

// baseline prepares the files from which the brand omicron1 installs zones.
// Without it an install fails with: could not locate "gzonly.txt".
const baseline = "svc:/system/omicron/baseline:default"

// A Finding is the result of one check of the host. Err is nil if all is well; Cure says
// then what to do about it.
type Finding struct {
	Name string
	Err  error
	Cure string
}

// Check returns an error that lists the known problems of the host that keep
// zones from being created or their servers from being reached. It changes nothing.
func (m *Manager) Check(ctx context.Context) error {
	var problems []error
	for _, f := range m.Findings(ctx, netip.Addr{}) {
		if f.Err != nil {
			problems = append(problems, f.Err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("check host: %w", err)
	}
	return nil
}

// Findings are the results of the checks of Check, one by one. near is an address in the
// prefix of the servers' addresses, or the zero Addr if that is not known.
func (m *Manager) Findings(ctx context.Context, near netip.Addr) []Finding {
	links, err := m.vnics.links(ctx)
	if err != nil {
		return []Finding{{"datalinks", err, "dladm show-link has to work: see svcs datalink-management"}}
	}
	all := []Finding{
		{"link class", m.checkLink(links), "set zones.illumos.link to a physical link, an aggregation or an etherstub"},
		{"link MTU", m.checkMTU(links), fmt.Sprintf("dladm set-linkprop -p mtu=%d %s", controlMTU, m.cfg.Link)},
	}
	if !m.cfg.Gateway.IsValid() {
		all = append(all, Finding{"host's address", m.checkAddress(ctx, links, near), "ipadm create-addr, or set zones.illumos.gateway"})
	}
	if m.cfg.Brand == "omicron1" {
		all = append(all, Finding{"brand's baseline", m.checkBaseline(ctx), "svcadm enable " + baseline + ", or set another zones.illumos.brand"})
	}
	return all
}

func (m *Manager) checkMTU(links []link) error {
	for _, l := range links {
		if l.name == m.cfg.Link && l.mtu < controlMTU {
			return fmt.Errorf("link %s has MTU %d, but the servers' VNICs over it need %d", l.name, l.mtu, controlMTU)
		}
	}
	return nil
}

// checkAddress returns an error if the host has no address that can be the servers' default
// gateway: one in their prefix, as far as that is known.
func (m *Manager) checkAddress(ctx context.Context, links []link, near netip.Addr) error {
	if near.IsValid() {
		_, err := m.gateway(ctx, links, near)
		return err
	}
	addrs, err := m.hostAddrs(ctx, links)
	if err == nil && len(addrs) == 0 {
		err = fmt.Errorf("the host has no address on %s: add one with ipadm create-addr, or set zones.illumos.gateway", m.cfg.Link)
	}
	return err
}

// WarnOfHost runs Check in the background and logs its error.
func (m *Manager) WarnOfHost() {
	m.background.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, time.Minute)
		defer cancel()
		if err := m.Check(ctx); err != nil && m.ctx.Err() == nil {
			m.cfg.Log.Warn().Err(err).Msg("host is not ready for zones")
		}
	})
}

// checkLink returns an error if no VNIC can be created over Link.
func (m *Manager) checkLink(links []link) error {
	for _, l := range links {
		if l.name == m.cfg.Link && (l.class == "vnic" || l.class == "vlan") {
			return fmt.Errorf("link %s is a %s, over which no VNIC can be created: "+
				"zones.illumos.link must be a physical link, an aggregation or an etherstub", l.name, l.class)
		}
	}
	return nil
}

func (m *Manager) checkBaseline(ctx context.Context) error {
	out, err := m.commands.Output(ctx, command.Call{Argv: []string{"svcs", "-H", "-o", "state", baseline}, Budget: quickBudget})
	if err != nil {
		return fmt.Errorf("the brand %s needs %s: %w", m.cfg.Brand, baseline, err)
	}
	if state := strings.TrimSpace(string(out)); state != "online" {
		return fmt.Errorf("the brand %s needs %s, which is %q", m.cfg.Brand, baseline, state)
	}
	return nil
}
