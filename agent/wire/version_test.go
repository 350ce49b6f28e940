package wire_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/internal/contract"
)

func fixture(t *testing.T, version uint64) []byte {
	t.Helper()
	body, err := os.ReadFile(fmt.Sprintf("testdata/v%d.json", version))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

var (
	nat4, nat6 = vmm.SourceNAT{IP: ip("198.51.100.7"), First: 16384, Last: 32767}, vmm.SourceNAT{IP: ip("2001:db8:7::7"), First: 16384, Last: 32767}
	eight4     = []netip.Addr{ip("198.51.100.8")}
	eight6     = []netip.Addr{ip("2001:db8:7::8")}
	nine4      = []netip.Addr{ip("198.51.100.9")}
	nine6      = []netip.Addr{ip("2001:db8:7::9")}

	groups  = []vmm.Group{{IP: ip("239.7.7.7"), Sources: []netip.Addr{}}, {IP: ip("ff3e::7"), Sources: []netip.Addr{ip("fd77::1")}}}
	subnets = []vmm.Subnet{{Net: netip.MustParsePrefix("203.0.113.64/28"), Kind: "external"}}
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

const (
	encrypted = "/dev/zvol/rdsk/oxp_6c1d0000-0000-4b00-8000-000000000020/crypt/local_storage/6c1d0000-0000-4b00-8000-000000000021/vol"
	plain     = "/dev/zvol/rdsk/oxp_6c1d0000-0000-4b00-8000-000000000020/local_storage_unencrypted/6c1d0000-0000-4b00-8000-000000000021/vol"
)

// shapes are the shapes of a registration: their versions, what differs in the meaning of
// their fixtures, and the field for which the next shape refuses a fixture, if it does.
var shapes = []struct {
	first, last uint64
	network     vmm.Network
	zvols       []string
	mtu         int
	next        string
}{
	{1, 6, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight4, Floating: nine4, SourceNAT: []vmm.SourceNAT{nat4}}},
		nil, 0, "local_config.multicast_groups"},
	{7, 8, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight4, Floating: nine4, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups},
		nil, 0, "local_config.delegated_zvols"},
	{9, 9, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight4, Floating: nine4, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups},
		[]string{encrypted}, 0, "local_config.firewall_rules[0].targets[0].ip_config"},
	{10, 10, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight4, Floating: nine4, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups},
		[]string{encrypted}, 0, ""},
	{11, 16, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight6, Floating: nine6, SourceNAT: []vmm.SourceNAT{nat6}}, Groups: groups},
		[]string{encrypted}, 0, "local_config.delegated_zvols[0].type"},
	{17, 17, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight6, Floating: nine6, SourceNAT: []vmm.SourceNAT{nat6}}, Groups: groups},
		[]string{encrypted, plain}, 0, "local_config.attached_subnets"},
	{18, 28, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight6, Floating: nine6, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups, Subnets: subnets},
		[]string{encrypted, plain}, 0, ""},
	{29, 30, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight6, Floating: nine6, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups, Subnets: subnets},
		[]string{encrypted, plain}, 0, ""},
	{31, 31, vmm.Network{External: vmm.ExternalIPs{Ephemeral: eight4}, Groups: groups, Subnets: subnets},
		[]string{encrypted, plain}, 0, "local_config.external_ips.type"},
	{32, 40, vmm.Network{External: vmm.ExternalIPs{Floating: nine4, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups, Subnets: subnets},
		[]string{encrypted, plain}, 0, ""},
	{41, 43, vmm.Network{External: vmm.ExternalIPs{Floating: nine4, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups, Subnets: subnets},
		[]string{encrypted, plain}, 8000, "vmm_spec.components.root-disk.component.has_write_cache"},
	{44, 54, vmm.Network{External: vmm.ExternalIPs{Floating: nine4, SourceNAT: []vmm.SourceNAT{nat4}}, Groups: groups, Subnets: subnets},
		[]string{encrypted, plain}, 8000, ""},
}

func TestDecodeAtVersions(t *testing.T) {
	t.Parallel()
	id := func(n byte) uuid.UUID {
		id := uuid.MustParse("6c1d0000-0000-4b00-8000-000000000000")
		id[15] = n
		return id
	}
	for _, s := range shapes {
		want := &vmm.Registration{
			InstanceID: id(1), SiloID: id(2), ProjectID: id(3), Hostname: "mail7",
			PropolisAddr: netip.MustParseAddrPort("[fd00:1122:3344:7::1:1]:12400"),
			Runtime:      vmm.Runtime{State: vmm.WireStarting, Gen: 2, Updated: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)},
			NICs: []vmm.NIC{{ID: id(16), Name: "eth0", MAC: "A8:40:25:FA:10:00", VNI: 4711, Primary: true},
				{ID: id(17), Name: "eth1", MAC: "A8:40:25:FA:10:01", Slot: 1, VNI: 4711}},
			Zvols: s.zvols, PrimaryMTU: s.mtu, Network: s.network,
		}
		body := fixture(t, s.first)
		for _, version := range []uint64{s.first, s.last} {
			got, err := wire.Decode(version, body)
			if err != nil {
				t.Errorf("at %d: %v", version, err)
				continue
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(vmm.Registration{}, "Spec"),
				cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{}, netip.Prefix{})); diff != "" {
				t.Errorf("at %d (-want +got):\n%s", version, diff)
			}
			if !strings.Contains(string(body), string(got.Spec)) || !strings.HasPrefix(string(got.Spec), "{") {
				t.Errorf("at %d: the spec is not as it was sent: %s", version, got.Spec)
			}
		}
		if s.last < wire.Newest {
			if _, err := wire.Decode(s.last+1, body); pathOf(err) != s.next {
				t.Errorf("the registration of %d at %d: %v; want an error at %q", s.first, s.last+1, err, s.next)
			}
		}
	}
}

// What a version does not have yet is unknown there, and ignored like everything unknown.
func TestMembersOfLaterVersions(t *testing.T) {
	t.Parallel()
	for version, extra := range map[uint64]string{
		1:  `"multicast_groups":7,"delegated_zvols":"x","attached_subnets":1,"external_ips":[],"primary_nic_mtu":{}`,
		31: `"primary_nic_mtu":"x","source_nat":1`,
		54: `"source_nat":1,"ephemeral_ip":{},"floating_ips":0,"router_list":[{"future":true}],"Hostname":7`,
	} {
		first := version
		if version == 54 {
			first = 44
		}
		body := strings.Replace(string(fixture(t, first)), `"local_config": {`, `"local_config": {`+extra+`,`, 1)
		if _, err := wire.Decode(version, []byte(body)); err != nil {
			t.Errorf("at %d: %v", version, err)
		}
	}
}

func TestExternalIPs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		version  uint64
		old, now string
		want     string
	}{
		"none since 11":       {31, "", "null", ""},
		"none":                {54, "", `{}`, ""},
		"the older form":      {54, "", `{"type":"v4","value":{"floating_ips":[]}}`, `local_config.external_ips.type: want "v4" and "v6"`},
		"ports upside down":   {54, "", `{"v4":{"source_nat":{"ip":"10.0.0.1","first_port":9,"last_port":8},"floating_ips":[]}}`, "local_config.external_ips.v4.source_nat.last_port: want a port not below first_port"},
		"the other family":    {54, "", `{"v4":{"ephemeral_ip":"fd00::1","floating_ips":[]}}`, "local_config.external_ips.v4.ephemeral_ip: want an IPv4 address"},
		"an address as group": {54, "239.7.7.7", "10.0.0.7", `local_config.multicast_groups[0].group_ip: want a multicast address, got "10.0.0.7"`},
	} {
		first := tt.version
		if first == 54 {
			first = 44
		}
		var body map[string]any
		if err := json.Unmarshal(fixture(t, first), &body); err != nil {
			t.Fatal(err)
		}
		if tt.old == "" {
			body["local_config"].(map[string]any)["external_ips"] = json.RawMessage(tt.now)
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		if tt.old != "" {
			text = []byte(strings.Replace(string(text), tt.old, tt.now, 1))
		}
		_, err = wire.Decode(tt.version, text)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
}

// What is said twice counts once.
func TestDuplicatesOfAddresses(t *testing.T) {
	t.Parallel()
	body := string(fixture(t, 44))
	for old, now := range map[string]string{
		`"floating_ips": ["198.51.100.9"]`:                  `"floating_ips": ["198.51.100.9","198.51.100.9"]`,
		`{"group_ip": "239.7.7.7", "sources": []}`:          `{"group_ip": "239.7.7.7", "sources": ["10.0.0.1"]},{"group_ip": "239.7.7.7", "sources": []}`,
		`{"subnet": "203.0.113.64/28", "kind": "external"}`: `{"subnet": "203.0.113.64/28", "kind": "vpc"},{"subnet": "203.0.113.64/28", "kind": "external"}`,
	} {
		if !strings.Contains(body, old) {
			t.Fatalf("the registration has no %s", old)
		}
		body = strings.Replace(body, old, now, 1)
	}
	got, err := decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	want := shapes[len(shapes)-1].network
	if diff := cmp.Diff(want, got.Network, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	for path, first := range map[string]uint64{"vmms/x/multicast-group": 7, "vmms/x/attached-subnets": 18,
		"vmms/x/attached-subnets/y": 18, "probes": 6, "vmms/x/state": 0, "nothing": 0, "vmms/x/y/z": 0} {
		for version := range uint64(wire.Newest + 1) {
			if got := wire.Serves(version, strings.Split(path, "/")); got != (version >= first) {
				t.Errorf("Serves(%d, %s) = %v", version, path, got)
			}
		}
	}
}

func TestDecodeAcceptsTheContractsOlderBodies(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(contract.Path(t, "older/bodies/v*.json"))
	if err != nil || len(files) < 12 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		var version uint64
		if _, err := fmt.Sscanf(filepath.Base(file), "v%d.json", &version); err != nil {
			t.Fatal(err)
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Decode(version, body); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}
