package illumos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
)

// opte sets up the ports of OPTE, the kernel's packet filter, with opteadm. Facts are
// from its source (oxidecomputer/opte, bin/opteadm and lib/oxide-vpc, in July 2026).
type opte struct {
	m        *Manager
	notAPort sync.Once
	// turns bounds the commands that run at a time: a restarted agent sets up the ports of
	// all guests.
	turns chan struct{}
}

const opteadmsAtOnce = 8

// OPTE returns what sets up guests' ports, or nil if the host has no opteadm.
func (m *Manager) OPTE() zone.Ports {
	if !m.commands.Has("opteadm") {
		m.cfg.Log.Warn().Str("command_path", m.cfg.CommandPath).
			Msg("no opteadm; external addresses, multicast groups and attached subnets of guests are only recorded")
		return nil
	}
	return &opte{m: m, turns: make(chan struct{}, opteadmsAtOnce)}
}

// Apply implements zone.Ports. The link of a NIC is a port of OPTE, or a VNIC, of which
// there is nothing to set up. Groups are only recorded: a port can only join one whose
// underlay address the host knows, which is not part of a VMM's networking.
func (o *opte) Apply(ctx context.Context, p zone.Port) error {
	select {
	case o.turns <- struct{}{}:
		defer func() { <-o.turns }()
	case <-ctx.Done():
		return fmt.Errorf("wait for %d other ports to be set up: %w", opteadmsAtOnce, context.Cause(ctx))
	}
	there, err := o.listed(ctx, p)
	if err != nil {
		return err
	}
	if !there {
		o.notAPort.Do(func() {
			o.m.cfg.Log.Warn().Str("zone", p.Zone).Str("link", p.Link).
				Msg("guest's datalink is not a port of OPTE; the networking of such guests is only recorded")
		})
		return nil
	}
	errs := []error{o.setExternalIPs(ctx, p)}
	for _, net := range p.Detached {
		errs = append(errs, o.run(ctx, p, "detach-subnet", net.String())) // it exits with 0 if there is no such subnet
	}
	for _, s := range p.Subnets {
		args := []string{s.Net.String()}
		if s.External {
			args = append(args, "--external")
		}
		errs = append(errs, o.run(ctx, p, "attach-subnet", args...)) // a repeat changes the kind
	}
	return errors.Join(errs...)
}

// Release implements zone.Ports. What a port was set up with goes with the port, which is
// a datalink of the zone.
func (o *opte) Release(context.Context, zone.Port) error { return nil }

// listed reports whether the link is a port. The list is a table, with a header, whose
// rows begin with the port's name; further floating addresses have rows that begin with
// a blank.
func (o *opte) listed(ctx context.Context, p zone.Port) (bool, error) {
	argv := []string{"opteadm", "list-ports"}
	out, err := o.m.commands.Output(ctx, o.call(p, argv))
	if err != nil {
		return false, err
	}
	header, rows, _ := bytes.Cut(out, []byte("\n"))
	if !bytes.HasPrefix(header, []byte("LINK ")) {
		return false, &command.Error{Argv: argv, Err: errors.New("output is not a table of ports")}
	}
	for row := range bytes.Lines(rows) {
		if name, _, _ := bytes.Cut(row, []byte(" ")); p.Link != "" && string(bytes.TrimSpace(name)) == p.Link {
			return true, nil
		}
	}
	return false, nil
}

// setExternalIPs replaces the external addresses. opteadm sets those of one family and
// clears those of the other, so that IPv6 ones are left out if there are both.
func (o *opte) setExternalIPs(ctx context.Context, p zone.Port) error {
	var args [2][]string
	add := func(ip netip.Addr, arg ...string) {
		family := 0
		if !ip.Is4() {
			family = 1
		}
		args[family] = append(args[family], arg...)
	}
	for _, ip := range p.Ephemeral {
		add(ip, "--ephemeral-ip", ip.String())
	}
	for _, ip := range p.Floating {
		add(ip, "--floating-ip", ip.String())
	}
	for _, s := range p.SourceNAT {
		add(s.IP, "--snat-ip", s.IP.String(), "--snat-start", strconv.Itoa(int(s.First)), "--snat-end", strconv.Itoa(int(s.Last)))
	}
	if args[0] == nil {
		return o.run(ctx, p, "set-external-ips", args[1]...)
	}
	err := o.run(ctx, p, "set-external-ips", args[0]...)
	if err == nil && args[1] != nil {
		err = fmt.Errorf("set external IPv6 addresses of port %s: opteadm sets them only if there are no IPv4 ones", p.Link)
	}
	return err
}

func (o *opte) run(ctx context.Context, p zone.Port, verb string, args ...string) error {
	return o.m.commands.Run(ctx, o.call(p, append([]string{"opteadm", verb, "-p", p.Link}, args...)))
}

// call is counted apart from those for the zone, which it must not hold up.
func (o *opte) call(p zone.Port, argv []string) command.Call {
	return command.Call{Argv: argv, For: "port of " + p.Zone, Budget: quickBudget}
}
