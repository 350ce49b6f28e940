package vmm

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/google/uuid"
)

// Ports is a VMM's networking as it has to be set up on the host. A change makes a new
// one.
type Ports struct {
	// NIC is the primary NIC, to whose port it is applied; uuid.Nil if there is none.
	NIC     uuid.UUID
	Network Network
	// Detached are subnets that were taken away and may still be attached on the host.
	Detached []netip.Prefix
}

// NewPorts returns the networking that a VMM is registered with.
func NewPorts(r *Registration) *Ports {
	p := &Ports{Network: r.Network}
	for _, n := range r.NICs {
		if n.Primary {
			p.NIC = n.ID
		}
	}
	return p
}

// Applying is how the newest application of a VMM's networking to the host goes.
type Applying struct {
	// N numbers the applications. Held is set while callers wait for the newest.
	N    uint64
	Held bool
	// Since is when the first of its failures in a row was, Why what the newest said,
	// Tries how many there were. All are zero after a success.
	Doubt
}

// SetNetwork asks to change the VMM's networking. Registered is what it was
// registered with, needed if the state has none: earlier versions kept none.
type SetNetwork struct {
	Change     NetworkChange
	Registered *Ports
}

type (
	// Applied: application N was tried once; Why is empty if it succeeded.
	Applied struct {
		N   uint64
		Why string
	}
	// NetUnsaved: a change could not be saved, so it was refused. The networking is
	// what it was before.
	NetUnsaved struct{ Was *Ports }
)

// limits on one VMM's networking; Nexus allows 32 external addresses.
const (
	maxNetwork  = 64
	maxSources  = 4 * maxNetwork
	maxDetached = 4 * maxNetwork
)

// Check returns an error if there is more of something than the agent keeps.
func (n Network) Check() error {
	if no := n.check(); no != nil {
		return no
	}
	return nil
}

func (n Network) check() *Refusal {
	for _, list := range []struct {
		what string
		len  int
	}{{"floating addresses", len(n.External.Floating)}, {"ephemeral addresses", len(n.External.Ephemeral)},
		{"source NATs", len(n.External.SourceNAT)}, {"multicast groups", len(n.Groups)}, {"attached subnets", len(n.Subnets)}} {
		if list.len > maxNetwork {
			return tooMany(list.len, maxNetwork, list.what)
		}
	}
	sources := 0
	for _, g := range n.Groups {
		sources += len(g.Sources)
	}
	if sources > maxSources {
		return tooMany(sources, maxSources, "sources of multicast groups")
	}
	return nil
}

func tooMany(n, most int, what string) *Refusal {
	return &Refusal{Reason: Invalid, Detail: fmt.Sprintf("%d %s, at most %d are kept", n, what, most)}
}

// Empty reports whether there is nothing to set up.
func (n Network) Empty() bool {
	return len(n.External.Ephemeral)+len(n.External.Floating)+len(n.External.SourceNAT)+len(n.Groups)+len(n.Subnets) == 0
}

func (n Network) has(net netip.Prefix) bool {
	return slices.ContainsFunc(n.Subnets, func(s Subnet) bool { return s.Net == net })
}

// A NetworkChange is one of the types below. It shares no memory with what it is
// applied to.
type NetworkChange interface {
	of(Network) (Network, *Refusal)
}

type (
	// AddExternalIP adds an address. A second ephemeral one of a family is refused.
	AddExternalIP struct {
		Ephemeral bool
		IP        netip.Addr
	}
	// RemoveExternalIP removes an address if it is there.
	RemoveExternalIP struct {
		Ephemeral bool
		IP        netip.Addr
	}
	// JoinGroup joins a multicast group, or changes the sources of one.
	JoinGroup struct{ Group Group }
	// LeaveGroup leaves a multicast group if it was joined.
	LeaveGroup struct{ IP netip.Addr }
	// SetSubnets replaces all attached subnets.
	SetSubnets struct{ Subnets []Subnet }
	// AttachSubnet attaches one more. One that is attached already is refused.
	AttachSubnet struct{ Subnet Subnet }
	// DetachSubnet detaches one if it is attached.
	DetachSubnet struct{ Net netip.Prefix }
)

func (a AddExternalIP) of(n Network) (Network, *Refusal) {
	e := &n.External
	if !a.Ephemeral {
		e.Floating = with(e.Floating, a.IP)
		return n, nil
	}
	for _, have := range e.Ephemeral {
		if have != a.IP && have.Is4() == a.IP.Is4() {
			return n, &Refusal{Reason: Conflict, Detail: fmt.Sprintf("the VMM has the ephemeral address %s; remove it before %s is added", have, a.IP)}
		}
	}
	e.Ephemeral = with(e.Ephemeral, a.IP)
	return n, nil
}

func (r RemoveExternalIP) of(n Network) (Network, *Refusal) {
	if r.Ephemeral {
		n.External.Ephemeral = without(n.External.Ephemeral, r.IP)
	} else {
		n.External.Floating = without(n.External.Floating, r.IP)
	}
	return n, nil
}

func (j JoinGroup) of(n Network) (Network, *Refusal) {
	groups := slices.Clone(n.Groups)
	if i := slices.IndexFunc(groups, func(g Group) bool { return g.IP == j.Group.IP }); i >= 0 {
		groups[i] = j.Group
	} else {
		groups = append(groups, j.Group)
	}
	n.Groups = groups
	return n, nil
}

func (l LeaveGroup) of(n Network) (Network, *Refusal) {
	n.Groups = slices.DeleteFunc(slices.Clone(n.Groups), func(g Group) bool { return g.IP == l.IP })
	return n, nil
}

func (s SetSubnets) of(n Network) (Network, *Refusal) {
	n.Subnets = s.Subnets
	return n, nil
}

func (a AttachSubnet) of(n Network) (Network, *Refusal) {
	if n.has(a.Subnet.Net) {
		return n, &Refusal{Reason: Attached, Detail: a.Subnet.Net.String()}
	}
	n.Subnets = append(slices.Clone(n.Subnets), a.Subnet)
	return n, nil
}

func (d DetachSubnet) of(n Network) (Network, *Refusal) {
	n.Subnets = slices.DeleteFunc(slices.Clone(n.Subnets), func(s Subnet) bool { return s.Net == d.Net })
	return n, nil
}

func with(all []netip.Addr, ip netip.Addr) []netip.Addr {
	if slices.Contains(all, ip) {
		return all
	}
	return append(slices.Clone(all), ip)
}

func without(all []netip.Addr, ip netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(all), func(have netip.Addr) bool { return have == ip })
}

// setNetwork makes a change that holds from then on: what could not be applied to the
// host is applied later. The reference takes a change back that OPTE has refused. Here a
// caller that was told of an error could not know what holds while the host is asked
// again.
func setNetwork(c *step) {
	in := c.in.(SetNetwork)
	was := c.s.Ports
	if was == nil {
		was = in.Registered
	}
	if was == nil || was.NIC == uuid.Nil {
		refuse(Invalid, "the VMM has no primary NIC")(c)
		return
	}
	next, no := in.Change.of(was.Network)
	if no == nil {
		no = next.check()
	}
	if no != nil {
		refuse(no.Reason, no.Detail)(c)
		return
	}
	if !reflect.DeepEqual(next, was.Network) {
		ports := c.replace(was, next)
		if len(ports.Detached) > maxDetached {
			refuse(Busy, "too many subnets could not be detached yet")(c)
			return
		}
		c.s.Ports = ports
		c.apply()
	}
	if !c.s.Flux.Ports.Held {
		answer(c)
		return
	}
	c.add(Hold{As: Changers})
}

// replace is the networking after a change. Before there is a zone, nothing is attached.
func (c *step) replace(was *Ports, next Network) *Ports {
	p := &Ports{NIC: was.NIC, Network: next}
	if c.s.Phase < Ensuring {
		return p
	}
	attached := slices.Clone(was.Detached)
	for _, s := range was.Network.Subnets {
		attached = append(attached, s.Net)
	}
	for _, net := range attached {
		if !next.has(net) && !slices.Contains(p.Detached, net) {
			p.Detached = append(p.Detached, net)
		}
	}
	return p
}

// apply has the networking applied for the callers of changes, if there is a zone.
func (c *step) apply() {
	if c.s.Phase >= Ensuring {
		c.applyAgain()
		c.s.Flux.Ports.Held = true
	}
}

func (c *step) applyAgain() {
	c.s.Flux.Ports.N++
	c.add(Apply{N: c.s.Flux.Ports.N})
}

// setUp has the networking applied if there is any.
func (c *step) setUp() {
	if p := c.s.Ports; p != nil && p.NIC != uuid.Nil && !p.Network.Empty() {
		c.applyAgain()
	}
}

// setUpAgain also clears what an earlier process may have left.
func (c *step) setUpAgain() {
	if p := c.s.Ports; p != nil && p.NIC != uuid.Nil {
		c.applyAgain()
	}
}

func applied(c *step) {
	in, f := c.in.(Applied), &c.s.Flux.Ports
	if in.N != f.N {
		return // the newest reports as well
	}
	if in.Why == "" {
		f.Doubt = Doubt{}
		if p := c.s.Ports; p != nil && len(p.Detached) > 0 { // nil: see NetUnsaved
			c.s.Ports = &Ports{NIC: p.NIC, Network: p.Network}
		}
	} else {
		f.ask(in.Why, c.now)
	}
	if f.Held {
		f.Held = false
		c.add(Answer{To: Changers})
	}
}

// netUnsaved takes back a change that was refused because it could not be saved. It
// is applied again: an application of it may have taken the place of an earlier one.
func netUnsaved(c *step) {
	was := c.in.(NetUnsaved).Was
	if was != nil && c.s.Ports != nil {
		was = c.replace(c.s.Ports, was.Network)
	}
	c.s.Ports = was
	switch {
	case c.s.Phase < Ensuring:
	case was != nil:
		c.setUpAgain()
	default:
		c.refuseChangers()
	}
}

func (c *step) refuseChangers() {
	if c.s.Flux.Ports.Held {
		c.add(Refuse{To: Changers, Reason: Superseded, Detail: "the VMM is stopping"})
	}
	c.s.Flux.Ports = Applying{N: c.s.Flux.Ports.N}
}
