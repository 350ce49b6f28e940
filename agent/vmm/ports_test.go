package vmm

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
)

var (
	addr      = netip.MustParseAddr
	oneSubnet = Subnet{Net: netip.MustParsePrefix("192.0.2.16/28"), Kind: "external"}
	another   = Subnet{Net: netip.MustParsePrefix("2001:db8:aa::/56"), Kind: "vpc"}
	sameNet   = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}
)

// changes are a change of the networking, one that changes nothing, one that is refused,
// one that is taken back, and the reports of an application.
func (w world) changes() []Input {
	var change NetworkChange = AttachSubnet{another}
	if w.s.Ports.Network.has(another.Net) {
		change = DetachSubnet{another.Net}
	}
	n := w.s.Flux.Ports.N
	return []Input{SetNetwork{Change: change}, SetNetwork{Change: LeaveGroup{}}, SetNetwork{Change: AttachSubnet{oneSubnet}},
		NetUnsaved{Was: &Ports{NIC: w.s.Ports.NIC, Network: Network{Subnets: []Subnet{oneSubnet}}}},
		Applied{N: n}, Applied{N: n, Why: "x"}}
}

// judgeNetwork verifies that the networking decides nothing else, that only its own inputs
// change it, and that no subnet is lost that may be attached.
func judgeNetwork(was, is State, in Input) error {
	switch in.(type) {
	case SetNetwork, NetUnsaved, Applied:
		same := is.Kept()
		same.Ports = was.Ports
		if same != was.Kept() {
			return errors.New("a change of the networking has changed more than that")
		}
	default:
		if is.Ports != was.Ports {
			return fmt.Errorf("%s has changed the networking", in.Kind())
		}
	}
	if a, ok := in.(Applied); ok && a.Why == "" && a.N == is.Flux.Ports.N {
		return nil
	}
	if was.Phase < Ensuring {
		return nil
	}
	for _, s := range was.Ports.Network.Subnets {
		if !is.Ports.Network.has(s.Net) && !slices.Contains(is.Ports.Detached, s.Net) {
			return fmt.Errorf("subnet %s is never detached", s.Net)
		}
	}
	return nil
}

func TestNetworkChanges(t *testing.T) {
	t.Parallel()
	v4, v6, group := addr("203.0.113.71"), addr("2001:db8:40::90"), addr("232.5.6.7")
	some := Network{External: ExternalIPs{Ephemeral: []netip.Addr{v4}, Floating: []netip.Addr{v6}},
		Groups: []Group{{IP: group}}, Subnets: []Subnet{oneSubnet}}
	edit := func(do func(*Network)) Network {
		n := some
		do(&n)
		return n
	}
	tests := []struct {
		name   string
		change NetworkChange
		want   Network
		reason Reason
	}{
		{"same ephemeral", AddExternalIP{Ephemeral: true, IP: v4}, some, 0},
		{"another ephemeral", AddExternalIP{Ephemeral: true, IP: addr("203.0.113.72")}, some, Conflict},
		{"ephemeral of the other family", AddExternalIP{Ephemeral: true, IP: v6}, edit(func(n *Network) { n.External.Ephemeral = []netip.Addr{v4, v6} }), 0},
		{"same floating", AddExternalIP{IP: v6}, some, 0},
		{"another floating", AddExternalIP{IP: v4}, edit(func(n *Network) { n.External.Floating = []netip.Addr{v6, v4} }), 0},
		{"remove ephemeral", RemoveExternalIP{Ephemeral: true, IP: v4}, edit(func(n *Network) { n.External.Ephemeral = nil }), 0},
		{"remove an absent ephemeral", RemoveExternalIP{Ephemeral: true, IP: addr("203.0.113.72")}, some, 0},
		{"remove floating", RemoveExternalIP{IP: v6}, edit(func(n *Network) { n.External.Floating = nil }), 0},
		{"remove an absent floating", RemoveExternalIP{IP: v4}, some, 0},
		{"join", JoinGroup{Group{IP: v6}}, edit(func(n *Network) { n.Groups = []Group{{IP: group}, {IP: v6}} }), 0},
		{"join again from a source", JoinGroup{Group{group, []netip.Addr{v4}}}, edit(func(n *Network) { n.Groups = []Group{{group, []netip.Addr{v4}}} }), 0},
		{"leave", LeaveGroup{group}, edit(func(n *Network) { n.Groups = nil }), 0},
		{"leave an absent group", LeaveGroup{v6}, some, 0},
		{"replace subnets", SetSubnets{[]Subnet{another}}, edit(func(n *Network) { n.Subnets = []Subnet{another} }), 0},
		{"remove all subnets", SetSubnets{}, edit(func(n *Network) { n.Subnets = nil }), 0},
		{"attach", AttachSubnet{another}, edit(func(n *Network) { n.Subnets = []Subnet{oneSubnet, another} }), 0},
		{"attach again", AttachSubnet{Subnet{oneSubnet.Net, "vpc"}}, some, Attached},
		{"detach", DetachSubnet{oneSubnet.Net}, edit(func(n *Network) { n.Subnets = nil }), 0},
		{"detach an absent subnet", DetachSubnet{another.Net}, some, 0},
		{"too many subnets", SetSubnets{make([]Subnet, maxNetwork+1)}, some, Invalid},
		{"too many sources", JoinGroup{Group{group, make([]netip.Addr, maxSources+1)}}, some, Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newWorld(false).s
			s.Ports = &Ports{NIC: migrationID, Network: some}
			is, effects := Step(s, SetNetwork{Change: tt.change}, epochStart)
			if d := cmp.Diff(tt.want, is.Ports.Network, sameNet); d != "" {
				t.Error(d)
			}
			refused, no := effects[0].(Refuse)
			if no != (tt.reason != 0) || refused.Reason != tt.reason || len(effects) != 1 {
				t.Errorf("the effects are %+v", effects)
			}
			if d := cmp.Diff(some, s.Ports.Network, sameNet); d != "" {
				t.Errorf("the earlier state has changed: %s", d)
			}
		})
	}
}

// A change of a running VMM is answered when it was tried, whatever came of it, and one
// that changes nothing at once.
func TestChangeIsAnsweredAfterATry(t *testing.T) {
	t.Parallel()
	attach := SetNetwork{Change: AttachSubnet{another}}
	for _, why := range []string{"", "opteadm is broken"} {
		s, effects := run(t, after(Applied{N: 1}, attach)...)
		if d := cmp.Diff([]Effect{Apply{N: 2}, Hold{As: Changers}}, effects); d != "" {
			t.Error(d)
		}
		s, effects = Step(s, Applied{N: 1, Why: "stale"}, epochStart)
		if len(effects) > 0 || s.Flux.Ports.Why != "" {
			t.Errorf("after the report of an earlier application: %+v, %+v", effects, s.Flux.Ports)
		}
		s, effects = Step(s, Applied{N: 2, Why: why}, epochStart)
		if d := cmp.Diff([]Effect{Answer{To: Changers}}, effects); d != "" || s.Flux.Ports.Why != why {
			t.Errorf("%s, trouble: %+v", d, s.Flux.Ports)
		}
		s, effects = Step(s, SetNetwork{Change: DetachSubnet{addrPrefix("198.51.100.0/24")}}, epochStart)
		if d := cmp.Diff([]Effect{Answer{To: Caller}}, effects); d != "" {
			t.Errorf("a change of nothing: %s", d)
		}
		s, _ = Step(s, Applied{N: 2, Why: "again"}, epochStart.Add(time.Minute))
		if want := epochStart; why != "" && (!s.Flux.Ports.Since.Equal(want) || s.Flux.Ports.Asked != 2) {
			t.Errorf("trouble: %+v", s.Flux.Ports)
		}
	}
}

func addrPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// What was taken away is detached until that has succeeded, also over a restart.
func TestDetachedUntilApplied(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after(SetNetwork{Change: SetSubnets{[]Subnet{another}}}, Applied{N: 2, Why: "x"},
		SetNetwork{Change: SetSubnets{}})...)
	want := []netip.Prefix{oneSubnet.Net, another.Net}
	if d := cmp.Diff(want, s.Ports.Detached, sameNet); d != "" {
		t.Error(d)
	}
	s, effects := Step(s, Resumed{}, epochStart)
	if !slices.Contains(effects, Effect(Apply{N: 1})) {
		t.Errorf("after a restart: %+v", effects)
	}
	if s, _ = Step(s, Applied{N: 1}, epochStart); len(s.Ports.Detached) > 0 {
		t.Errorf("after it was applied: %+v", s.Ports)
	}
}

func TestNetworkIsAppliedAtStartAndReboot(t *testing.T) {
	t.Parallel()
	_, effects := run(t, Start{}, ZoneBooted{})
	if d := cmp.Diff([]Effect{Apply{N: 1}, Ensure{}}, effects); d != "" {
		t.Error(d)
	}
	for _, reboot := range [][]Input{
		{Observed{State: PropolisRebooting, Gen: 4}, Observed{State: PropolisRunning, Gen: 5}},
		{Reboot{}, Observed{State: PropolisRunning, Gen: 5}},
	} {
		if _, effects := run(t, after(reboot...)...); !slices.Contains(effects, Effect(Apply{N: 2})) {
			t.Errorf("after a reboot: %+v", effects)
		}
	}
	_, effects = run(t, after(Observed{State: PropolisRunning, Gen: 4})...)
	if slices.ContainsFunc(effects, func(e Effect) bool { _, ok := e.(Apply); return ok }) {
		t.Errorf("without a reboot: %+v", effects)
	}
}

// A VMM of an earlier version, whose first change was refused, may still have that change
// applied: a reboot that was decided meanwhile is carried out.
func TestAppliedAfterTheFirstChangeWasTakenBack(t *testing.T) {
	t.Parallel()
	s, _ := run(t, after()...)
	first := SetNetwork{Change: AttachSubnet{another}, Registered: s.Ports}
	s.Ports = nil
	for _, in := range []Input{first, Observed{State: PropolisRebooting, Gen: 4}, Observed{State: PropolisRunning, Gen: 5}, NetUnsaved{}} {
		s, _ = Step(s, in, epochStart)
	}
	s, _ = Step(s, Applied{N: s.Flux.Ports.N}, epochStart)
	if s.Ports != nil {
		t.Errorf("the networking is %+v", s.Ports)
	}
}

func TestChangeNeedsAPrimaryNIC(t *testing.T) {
	t.Parallel()
	s := newWorld(false).s
	for _, p := range []*Ports{nil, {}} {
		s.Ports = p
		_, effects := Step(s, SetNetwork{Change: AttachSubnet{another}, Registered: NewPorts(&Registration{NICs: []NIC{{}}})}, epochStart)
		if r, ok := effects[0].(Refuse); !ok || r.Reason != Invalid {
			t.Errorf("%+v", effects)
		}
	}
	nic := uuid.MustParse("11111111-2222-4333-8444-555555555555")
	s.Ports = nil // of an earlier version
	s, _ = Step(s, SetNetwork{Change: AttachSubnet{another}, Registered: NewPorts(&Registration{NICs: []NIC{{}, {ID: nic, Primary: true}}})}, epochStart)
	if s.Ports == nil || s.Ports.NIC != nic || len(s.Ports.Network.Subnets) != 1 {
		t.Errorf("%+v", s.Ports)
	}
}
