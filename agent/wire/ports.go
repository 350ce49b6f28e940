package wire

import (
	"net/netip"
	"strconv"

	"github.com/sledagent/sledagent/agent/vmm"
)

// An ExternalIP is the body of a request to add or to remove an external address
// (InstanceExternalIpBody).
type ExternalIP struct {
	Ephemeral bool
	IP        netip.Addr
}

// DecodeExternalIP decodes and validates an ExternalIP. The error is an *Error.
func DecodeExternalIP(body []byte) (ExternalIP, error) {
	c, b, err := decodeAs[struct {
		Type string     `json:"type"`
		IP   netip.Addr `json:"value"`
	}](Newest, "vmm_put_external_ip", body)
	if err != nil {
		return ExternalIP{}, err
	}
	if b.IP.IsMulticast() || b.IP.IsUnspecified() {
		return ExternalIP{}, c.Refuse("the address of a host", "value")
	}
	return ExternalIP{b.Type == "ephemeral", b.IP}, nil
}

// DecodeMembership decodes and validates a request to join or to leave a multicast group
// (InstanceMulticastBody). The error is an *Error.
func DecodeMembership(body []byte) (vmm.NetworkChange, error) {
	c, b, err := decodeAs[struct {
		Join  *group `json:"join"`
		Leave *group `json:"leave"`
	}](Newest, "vmm_join_multicast_group", body)
	if err != nil {
		return nil, err
	}
	g, at := b.Join, "join"
	if g == nil {
		g, at = b.Leave, "leave"
	}
	if !g.IP.IsMulticast() {
		return nil, c.Refuse("a multicast address", at, "group_ip")
	}
	for i, ip := range g.Sources {
		if ip.IsMulticast() {
			return nil, c.Refuse("an address that is not multicast", at, "sources", strconv.Itoa(i))
		}
	}
	if b.Join != nil {
		return vmm.JoinGroup{Group: vmm.Group(*g)}, nil
	}
	return vmm.LeaveGroup{IP: g.IP}, nil
}

// DecodeSubnet decodes and validates an AttachedSubnet. The error is an *Error.
func DecodeSubnet(body []byte) (vmm.Subnet, error) {
	b, err := Body[subnet]("vmm_post_attached_subnet")(body)
	if err != nil {
		return vmm.Subnet{}, err
	}
	return b.attached(), nil
}

// DecodeSubnets decodes and validates AttachedSubnets. The error is an *Error.
func DecodeSubnets(body []byte) ([]vmm.Subnet, error) {
	c, b, err := decodeAs[struct {
		Subnets []subnet `json:"subnets"`
	}](Newest, "vmm_put_attached_subnets", body)
	if err != nil {
		return nil, err
	}
	var all []vmm.Subnet
	seen := map[netip.Prefix]bool{}
	for i, s := range b.Subnets {
		a := s.attached()
		if seen[a.Net] {
			return nil, c.Refuse("a network that is not in the list already", "subnets", strconv.Itoa(i), "subnet")
		}
		seen[a.Net] = true
		all = append(all, a)
	}
	return all, nil
}

// ParseSubnet parses a network as part of a path. The error is an *Error.
func ParseSubnet(text string) (netip.Prefix, error) {
	net, err := netip.ParsePrefix(text)
	if err != nil {
		return net, refuse("subnet", `an IP network such as "192.0.2.0/28"`, text)
	}
	return net.Masked(), nil
}
