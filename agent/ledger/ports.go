package ledger

import (
	"net/netip"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// portsDoc is a VMM's networking on disk. It is part of the state and not of the
// registration, since it changes.
type portsDoc struct {
	NIC       uuid.UUID      `json:"nic"`
	Ephemeral []netip.Addr   `json:"ephemeral,omitempty"`
	Floating  []netip.Addr   `json:"floating,omitempty"`
	SourceNAT []natDoc       `json:"source_nat,omitempty"`
	Groups    []groupDoc     `json:"groups,omitempty"`
	Subnets   []subnetDoc    `json:"subnets,omitempty"`
	Detached  []netip.Prefix `json:"detached,omitempty"`
}

type natDoc struct {
	IP    netip.Addr `json:"ip"`
	First uint16     `json:"first"`
	Last  uint16     `json:"last"`
}

type groupDoc struct {
	IP      netip.Addr   `json:"ip"`
	Sources []netip.Addr `json:"sources,omitempty"`
}

type subnetDoc struct {
	Net  netip.Prefix `json:"net"`
	Kind string       `json:"kind"`
}

func newPortsDoc(p *vmm.Ports) *portsDoc {
	if p == nil {
		return nil
	}
	n := p.Network
	d := &portsDoc{NIC: p.NIC, Ephemeral: n.External.Ephemeral, Floating: n.External.Floating, Detached: p.Detached}
	for _, s := range n.External.SourceNAT {
		d.SourceNAT = append(d.SourceNAT, natDoc(s))
	}
	for _, g := range n.Groups {
		d.Groups = append(d.Groups, groupDoc(g))
	}
	for _, s := range n.Subnets {
		d.Subnets = append(d.Subnets, subnetDoc(s))
	}
	return d
}

func (d *portsDoc) ports() *vmm.Ports {
	if d == nil {
		return nil
	}
	p := &vmm.Ports{NIC: d.NIC, Detached: d.Detached}
	p.Network.External = vmm.ExternalIPs{Ephemeral: d.Ephemeral, Floating: d.Floating}
	for _, s := range d.SourceNAT {
		p.Network.External.SourceNAT = append(p.Network.External.SourceNAT, vmm.SourceNAT(s))
	}
	for _, g := range d.Groups {
		p.Network.Groups = append(p.Network.Groups, vmm.Group(g))
	}
	for _, s := range d.Subnets {
		p.Network.Subnets = append(p.Network.Subnets, vmm.Subnet(s))
	}
	return p
}
