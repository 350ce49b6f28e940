package illumos_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos"
	"github.com/sledagent/sledagent/zone/illumos/illumostest"
)

// A port becomes what is described, whatever it was before, also by a later process.
func TestOPTEPort(t *testing.T) {
	s := newSled(t)
	if r := s.Run("opteadm", "create-xde", "opte0"); r.Exit != 0 {
		t.Fatal(r)
	}
	addr, net := netip.MustParseAddr, netip.MustParsePrefix
	apply := func(m *illumos.Manager, p zone.Port) error {
		p.Zone, p.Link = alice, "opte0"
		return m.OPTE().Apply(s.ctx(), p)
	}
	is := func(external string, subnets map[string]string) {
		t.Helper()
		p, _ := s.Port("opte0")
		if d := cmp.Diff(external, strings.Join(p.External, " ")) + cmp.Diff(subnets, p.Subnets); d != "" {
			t.Error(d)
		}
	}
	m := s.manager()
	all := zone.Port{Ephemeral: []netip.Addr{addr("203.0.113.71")}, Floating: []netip.Addr{addr("203.0.113.80"), addr("203.0.113.81")},
		SourceNAT: []zone.SourceNAT{{IP: addr("203.0.113.70"), First: 16384, Last: 32767}}, Groups: []netip.Addr{addr("232.5.6.7")},
		Subnets: []zone.AttachedSubnet{{Net: net("192.0.2.16/28"), External: true}, {Net: net("2001:db8:aa::/56")}}}
	v4 := "--ephemeral-ip 203.0.113.71 --floating-ip 203.0.113.80 --floating-ip 203.0.113.81 " +
		"--snat-ip 203.0.113.70 --snat-start 16384 --snat-end 32767"
	subnets := map[string]string{"192.0.2.16/28": "--external", "2001:db8:aa::/56": ""}
	for range 2 {
		if err := apply(m, all); err != nil {
			t.Fatal(err)
		}
		is(v4, subnets)
	}
	all.Floating = append(all.Floating, addr("2001:db8:40::90"))
	if err := apply(m, all); err == nil || !strings.Contains(err.Error(), "IPv6") {
		t.Errorf("addresses of both families: %v", err)
	}
	is(v4, subnets)
	fault := s.Inject(illumostest.Fault{Do: illumostest.Fail, Command: "opteadm", Verb: "set-external-ips", Text: "Error: ioctl failed"})
	none := zone.Port{Detached: []netip.Prefix{net("192.0.2.16/28"), net("198.51.100.0/24"), net("2001:db8:aa::/56")}}
	m = s.manager()
	if err := apply(m, none); err == nil || !strings.Contains(err.Error(), "ioctl failed") {
		t.Errorf("opteadm has failed, and the error is %v", err)
	}
	fault.Release()
	if err := apply(m, none); err != nil {
		t.Fatal(err)
	}
	is("", map[string]string{})
	if err := apply(m, zone.Port{Ephemeral: []netip.Addr{addr("2001:db8:40::90")}}); err != nil {
		t.Fatal(err)
	}
	is("--ephemeral-ip 2001:db8:40::90", map[string]string{})
}
