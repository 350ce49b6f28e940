package view

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sledagent/sledagent/agent/vmm"
)

// network adds the VMM's external addresses, multicast groups and attached subnets.
func (p *page) network(n *vmm.NetworkStatus) {
	if n == nil {
		return
	}
	label := "network"
	line := func(what string, list []string) {
		if len(list) > 0 {
			p.line(label, what+" "+strings.Join(list, ", "))
			label = ""
		}
	}
	line("ephemeral", addresses(n.Ephemeral))
	line("floating", addresses(n.Floating))
	line("source NAT", n.SourceNAT)
	var groups, subnets []string
	for _, g := range n.Groups {
		text := g.IP.String()
		if len(g.Sources) > 0 {
			text += " from " + strings.Join(addresses(g.Sources), " or ")
		}
		groups = append(groups, text)
	}
	for _, s := range n.Subnets {
		subnets = append(subnets, fmt.Sprintf("%s (%s)", s.Net, s.Kind))
	}
	line("multicast", groups)
	line("subnets", subnets)
	if n.RecordOnly {
		line("recorded only:", []string{"this host sets up no ports"})
	}
	if t := n.Trouble; t != nil {
		line("cannot be set up", []string{fmt.Sprintf("since %s (attempt %d): %s", p.view.At(t.Since), t.Attempts, t.LastError)})
	}
}

func addresses(all []netip.Addr) (texts []string) {
	for _, ip := range all {
		texts = append(texts, ip.String())
	}
	return texts
}
