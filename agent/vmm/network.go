package vmm

import "net/netip"

// A Network is the part of a VMM's networking that can change while the VMM exists.
// Nexus sends it with the registration and changes it later.
type Network struct {
	External ExternalIPs
	// Groups are the multicast groups that the guest has joined, one for each address.
	Groups []Group
	// Subnets are the attached subnets, one for each prefix.
	Subnets []Subnet
}

// ExternalIPs are the addresses under which the guest is reached from outside of its VPC.
type ExternalIPs struct {
	// Ephemeral is at most one address of each family. Floating has no duplicates.
	Ephemeral, Floating []netip.Addr
	// SourceNAT is at most one for each family.
	SourceNAT []SourceNAT
}

// A SourceNAT is the address and the port range, inclusive, of the guest's own
// connections to the outside.
type SourceNAT struct {
	IP          netip.Addr
	First, Last uint16
}

// A Group is a multicast group and the sources that the guest accepts; none means any.
type Group struct {
	IP      netip.Addr
	Sources []netip.Addr
}

// A Subnet is attached to a guest. Kind is "vpc" or "external".
type Subnet struct {
	Net  netip.Prefix
	Kind string
}
