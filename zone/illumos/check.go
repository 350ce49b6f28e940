package illumos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sledagent/sledagent/internal/command"
)

// baseline prepares the files from which the brand omicron1 installs zones.
// Without it an install fails with: could not locate "gzonly.txt".
const baseline = "svc:/system/omicron/baseline:default"

// Check returns an error that lists the known problems of the host that keep
// zones from being created or their servers from being reached. It changes nothing.
func (m *Manager) Check(ctx context.Context) error {
	links, err := m.control.links(ctx)
	if err != nil {
		return fmt.Errorf("check host: %w", err)
	}
	var problems []error
	if err := m.checkLink(links); err != nil {
		problems = append(problems, err)
	}
	for _, l := range links {
		if l.name == m.cfg.Link && l.mtu < controlMTU {
			problems = append(problems, fmt.Errorf("link %s has MTU %d, but the servers' VNICs over it need %d", l.name, l.mtu, controlMTU))
		}
	}
	if !m.cfg.Gateway.IsValid() {
		addrs, err := m.hostAddrs(ctx, links)
		if err == nil && len(addrs) == 0 {
			err = fmt.Errorf("the host has no address on %s: add one with ipadm create-addr, or set zones.illumos.gateway", m.cfg.Link)
		}
		problems = append(problems, err)
	}
	if m.cfg.Brand == "omicron1" {
		problems = append(problems, m.checkBaseline(ctx))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("check host: %w", err)
	}
	return nil
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
