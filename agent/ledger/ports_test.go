package ledger

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sledagent/sledagent/agent/vmm"
)

func genAddrs() *rapid.Generator[[]netip.Addr] {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		id := genID().Draw(t, "addr")
		if rapid.Bool().Draw(t, "v4") {
			return netip.AddrFrom4([4]byte(id[:4]))
		}
		return netip.AddrFrom16(id)
	})
	return rapid.SliceOfN(addr, 0, 3)
}

func genPrefixes() *rapid.Generator[[]netip.Prefix] {
	return rapid.Map(genAddrs(), func(addrs []netip.Addr) (all []netip.Prefix) {
		for i, a := range addrs {
			all = append(all, netip.PrefixFrom(a, 20+i))
		}
		return all
	})
}

func genPorts() *rapid.Generator[vmm.Ports] {
	return rapid.Custom(func(t *rapid.T) vmm.Ports {
		p := vmm.Ports{NIC: genID().Draw(t, "nic"), Detached: genPrefixes().Draw(t, "detached")}
		n := &p.Network
		n.External = vmm.ExternalIPs{Ephemeral: genAddrs().Draw(t, "ephemeral"), Floating: genAddrs().Draw(t, "floating")}
		for _, ip := range genAddrs().Draw(t, "nat") {
			n.External.SourceNAT = append(n.External.SourceNAT, vmm.SourceNAT{IP: ip, First: rapid.Uint16().Draw(t, "first"), Last: rapid.Uint16().Draw(t, "last")})
		}
		for _, ip := range genAddrs().Draw(t, "groups") {
			n.Groups = append(n.Groups, vmm.Group{IP: ip, Sources: genAddrs().Draw(t, "sources")})
		}
		for _, net := range genPrefixes().Draw(t, "subnets") {
			n.Subnets = append(n.Subnets, vmm.Subnet{Net: net, Kind: rapid.SampledFrom([]string{"vpc", "external"}).Draw(t, "kind")})
		}
		return p
	})
}

// The names on disk do not change.
func TestPortsOnDisk(t *testing.T) {
	t.Parallel()
	addr, net := netip.MustParseAddr, netip.MustParsePrefix
	p := &vmm.Ports{NIC: vmmID(1), Detached: []netip.Prefix{net("198.51.100.0/24")}, Network: vmm.Network{
		External: vmm.ExternalIPs{Ephemeral: []netip.Addr{addr("203.0.113.71")}, Floating: []netip.Addr{addr("2001:db8:40::90")},
			SourceNAT: []vmm.SourceNAT{{IP: addr("203.0.113.70"), First: 16384, Last: 32767}}},
		Groups:  []vmm.Group{{IP: addr("ff3e::8000:77"), Sources: []netip.Addr{addr("2001:db8::1")}}},
		Subnets: []vmm.Subnet{{Net: net("192.0.2.16/28"), Kind: "external"}},
	}}
	got, err := json.Marshal(newPortsDoc(p))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"nic":"` + vmmID(1).String() + `","ephemeral":["203.0.113.71"],"floating":["2001:db8:40::90"],` +
		`"source_nat":[{"ip":"203.0.113.70","first":16384,"last":32767}],` +
		`"groups":[{"ip":"ff3e::8000:77","sources":["2001:db8::1"]}],` +
		`"subnets":[{"net":"192.0.2.16/28","kind":"external"}],"detached":["198.51.100.0/24"]}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

// An entry of a version that kept no networking has none.
func TestOlderEntryHasNoPorts(t *testing.T) {
	t.Parallel()
	older := `{"boot":"b","phase":"active","since":"2026-03-04T05:06:07Z","record":{"vmm_state":{"state":"running","gen":7,` +
		`"time_updated":"2026-03-04T05:06:07Z"},"migration_in":null,"migration_out":null},"cold":true,"epoch":3,` +
		`"propolis":{"state":"Running","gen":4,"at":"2026-03-04T05:06:07Z"},"zone":{"name":"oxz_1"},` +
		`"identity":{"instance_id":"` + vmmID(2).String() + `","propolis_addr":"[fd00::1]:12400"},"acked_gen":7}`
	e, _, err := decodeState([]byte(older), time.Now(), time.Hour, "b", limits)
	if err != nil || e.State.Ports != nil || e.State.Record.VMM.Gen != 7 {
		t.Errorf("%+v, %v", e.State, err)
	}
	again, err := encodeState(e, time.Now(), time.Hour, "b")
	if d := cmp.Diff(older, string(again)); err != nil || d != "" {
		t.Errorf("%v, written again: %s", err, d)
	}
}
