package view_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/cmd/sledctl/internal/view"
)

func TestShowNetwork(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr
	s := status()
	s.Network = &vmm.NetworkStatus{Ephemeral: []netip.Addr{addr("203.0.113.71")}, Floating: []netip.Addr{addr("203.0.113.80"), addr("2001:db8:40::90")},
		SourceNAT: []string{"203.0.113.70 ports 0-16383"},
		Groups:    []vmm.GroupStatus{{IP: addr("232.5.6.7")}, {IP: addr("ff3e::8000:77"), Sources: []netip.Addr{addr("2001:db8::1")}}},
		Subnets:   []vmm.SubnetStatus{{Net: netip.MustParsePrefix("192.0.2.16/28"), Kind: "external"}},
		Trouble:   &vmm.PortsTrouble{Since: now.Add(-time.Minute), LastError: "opteadm: ioctl\nfailed", Attempts: 3}}
	text := view.View{Now: now, Width: 200}.Show(s)
	for _, want := range []string{"network     ephemeral 203.0.113.71\n", "floating 203.0.113.80, 2001:db8:40::90\n",
		"source NAT 203.0.113.70 ports 0-16383\n", "multicast 232.5.6.7, ff3e::8000:77 from 2001:db8::1\n",
		"subnets 192.0.2.16/28 (external)\n", "(attempt 3): opteadm: ioctl failed\n", "! the port cannot be set up for 1m, attempt 3: opteadm"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "recorded only") {
		t.Error("this host sets up ports")
	}
	s.Network = &vmm.NetworkStatus{Ephemeral: s.Network.Ephemeral, RecordOnly: true}
	if text := (view.View{Now: now, Width: 200}).Show(s); !strings.Contains(text, "recorded only") {
		t.Errorf("it is not said that the network is only recorded:\n%s", text)
	}
}
