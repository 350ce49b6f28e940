package zone

import (
	"context"
	"net/netip"
)

// A Port is how the network port of a guest's primary NIC has to be set up.
type Port struct {
	// Zone is the zone that the guest runs in, Link the NIC's datalink.
	Zone, Link string
	// Ephemeral is at most one address of each family.
	Ephemeral, Floating []netip.Addr
	SourceNAT           []SourceNAT
	Groups              []netip.Addr
	Subnets             []AttachedSubnet
	// Detached are subnets that may be attached and must not be.
	Detached []netip.Prefix
}

// A SourceNAT is an address and the inclusive range of its ports that a guest uses for
// connections of its own.
type SourceNAT struct {
	IP          netip.Addr
	First, Last uint16
}

// An AttachedSubnet belongs to a guest. External addresses are not translated.
type AttachedSubnet struct {
	Net      netip.Prefix
	External bool
}

// Ports sets up guests' ports on a host that can. Its methods are safe for concurrent
// use, and are not called concurrently for one zone. They return soon after ctx ends.
type Ports interface {
	// Apply makes a port what is described, whatever it was before.
	Apply(ctx context.Context, p Port) error
	// Release frees what the host holds for a port whose zone and datalinks are gone.
	Release(ctx context.Context, p Port) error
}
