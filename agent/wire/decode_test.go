package wire_test

import (
	"errors"
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
	"github.com/sledagent/sledagent/agent/wire/wiretest"
	"github.com/sledagent/sledagent/internal/contract"
)

// decode decodes a registration of the newest version.
func decode(body []byte) (*vmm.Registration, error) { return wire.Decode(wire.Newest, body) }

func TestDecode(t *testing.T) {
	t.Parallel()
	body := wiretest.Full()
	got, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	migration := uuid.MustParse("8f9e0d1c-2b3a-4958-8776-655443322110")
	nic := func(i byte, name string) vmm.NIC {
		id := uuid.MustParse("7a1d0f3c-52c4-4c0e-9b5e-6c6f1e9a0b01")
		id[15] += i
		return vmm.NIC{ID: id, Name: name, MAC: "A8:40:25:F1:02:0" + string('0'+i), Slot: int(i), VNI: 7340033, Primary: i == 0}
	}
	want := &vmm.Registration{
		InstanceID:   uuid.MustParse("5e0b7c1a-3d2f-4a6b-8c9d-0e1f2a3b4c5d"),
		PropolisAddr: netip.MustParseAddrPort("[fd00:1122:3344:101::1:9]:12400"),
		MigrationID:  &migration,
		Runtime: vmm.Runtime{State: vmm.WireMigrating, Gen: 2,
			Updated: time.Date(2026, 3, 4, 3, 6, 7, 123456789, time.UTC)},
		Hostname:  "db01.prod",
		SiloID:    uuid.MustParse("9c8b7a69-5847-4362-9150-4f3e2d1c0b0a"),
		ProjectID: uuid.MustParse("0a1b2c3d-4e5f-4061-8293-a4b5c6d7e8f9"),
		NICs:      []vmm.NIC{nic(0, "net0"), nic(1, "net1"), nic(2, "net2")},
		Zvols: []string{
			"/dev/zvol/rdsk/oxp_0d6f3f5b-1c1e-4a5a-b7a4-6a1d7c9e2f10/local_storage_unencrypted/c6c1c6f0-9f6e-4a35-8a1b-2d3e4f506172/vol",
			"/dev/zvol/rdsk/oxp_0d6f3f5b-1c1e-4a5a-b7a4-6a1d7c9e2f10/crypt/local_storage/d7d2d701-a07f-4b46-9b2c-3e4f50617283/vol",
		},
		PrimaryMTU: 8500,
		Network: vmm.Network{
			External: vmm.ExternalIPs{
				Ephemeral: []netip.Addr{netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8::a")},
				Floating:  []netip.Addr{netip.MustParseAddr("203.0.113.11"), netip.MustParseAddr("2001:db8::b")},
				SourceNAT: []vmm.SourceNAT{{IP: netip.MustParseAddr("203.0.113.9"), Last: 16383},
					{IP: netip.MustParseAddr("2001:db8::9"), First: 16384, Last: 32767}},
			},
			Groups: []vmm.Group{{IP: netip.MustParseAddr("232.1.2.3"), Sources: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}},
			Subnets: []vmm.Subnet{{Net: netip.MustParsePrefix("192.0.2.32/28"), Kind: "external"},
				{Net: netip.MustParsePrefix("fd30:20::/64"), Kind: "vpc"}},
		},
	}
	diff := cmp.Diff(want, got, cmpopts.IgnoreFields(vmm.Registration{}, "Spec"), cmpopts.EquateComparable(netip.AddrPort{}, netip.Addr{}, netip.Prefix{}))
	if diff != "" {
		t.Errorf("registration (-want +got):\n%s", diff)
	}
	if got.Runtime.Updated.Location() != time.UTC {
		t.Errorf("time_updated is in %v", got.Runtime.Updated.Location())
	}
}

// The spec is passed to Propolis and must not change by a byte.
func TestDecodeKeepsTheSpecRaw(t *testing.T) {
	t.Parallel()
	spec := "{ \"components\" :{},\n\t\"board\":{\"cpus\":1,\"memory_mb\":  18446744073709551615,\"chipset\":{\"type\":\"i440_fx\"," +
		"\"value\":{\"enable_pcie\":true}}}, \"future\": 1.50e+3, \"esc\": \"\\u0041\\/\" }"
	_, rest, _ := strings.Cut(string(wire.NewBody(wire.BodyOptions{})), `"vmm_spec":`)
	old := rest[:strings.LastIndexByte(rest, '}')]
	body := []byte(strings.Replace(string(wire.NewBody(wire.BodyOptions{})), old, "  "+spec+" ", 1))
	got, err := decode(body)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Spec) != spec {
		t.Errorf("spec = %s\nwant   %s", got.Spec, spec)
	}
	for i := range body {
		body[i] = 'x'
	}
	if string(got.Spec) != spec {
		t.Error("the registration shares memory with the body")
	}
}

func TestDecodeAcceptsTheContractsBodies(t *testing.T) {
	t.Parallel()
	for _, file := range contract.Fixtures(t, "sa_register_*.json") {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(body); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

func TestNewBody(t *testing.T) {
	t.Parallel()
	id, migration := uuid.New(), uuid.New()
	addr := netip.MustParseAddrPort("127.0.0.1:4000")
	for name, tt := range map[string]struct {
		o     wire.BodyOptions
		check func(*vmm.Registration) bool
	}{
		"defaults": {wire.BodyOptions{}, func(r *vmm.Registration) bool {
			return r.InstanceID != uuid.Nil && r.PropolisAddr.IsValid() && r.Hostname != "" && r.NICs == nil &&
				r.Runtime.State == vmm.WireStarting && r.Runtime.Gen == 2 && r.MigrationID == nil
		}},
		"all given": {wire.BodyOptions{InstanceID: id, PropolisAddr: addr, Hostname: "h", CPUs: 3, MemoryMiB: 5, NICs: 2,
			State: vmm.WireRunning, Gen: 9}, func(r *vmm.Registration) bool {
			return r.InstanceID == id && r.PropolisAddr == addr && r.Hostname == "h" && len(r.NICs) == 2 && r.NICs[0].Primary &&
				!r.NICs[1].Primary && strings.Contains(string(r.Spec), `"cpus":3`) &&
				strings.Contains(string(r.Spec), `"memory_mb":5`) && r.Runtime.State == vmm.WireRunning && r.Runtime.Gen == 9
		}},
		"a migration": {wire.BodyOptions{MigrationID: &migration}, func(r *vmm.Registration) bool {
			return *r.MigrationID == migration && r.Runtime.State == vmm.WireMigrating
		}},
		"too many NICs": {wire.BodyOptions{NICs: 1000}, func(r *vmm.Registration) bool { return len(r.NICs) == 64 }},
	} {
		r, err := decode(wire.NewBody(tt.o))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !tt.check(r) {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}

func TestDecodeState(t *testing.T) {
	t.Parallel()
	src := netip.MustParseAddrPort("[fd00::7]:12400")
	for body, want := range map[string]wire.StateRequest{
		`{"state":{"type":"running","value":7}}`:                                                {Target: wire.Running},
		`{"state":{"type":"running"}}`:                                                          {Target: wire.Running},
		`{"state":{"type":"stopped"}}`:                                                          {Target: wire.Stopped},
		`{"state":{"type":"reboot","value":null},"x":[1]}`:                                      {Target: wire.Reboot},
		`{"state":{"value":{"src_propolis_addr":"[fd00::7]:12400"},"type":"migration_target"}}`: {Target: wire.MigrationTarget, Source: src},
		`{"state":{"type":"stopped"}} and ignored text`:                                         {Target: wire.Stopped},
	} {
		if got, err := wire.DecodeState([]byte(body)); err != nil || !cmp.Equal(got, want, cmpopts.EquateComparable(netip.AddrPort{})) {
			t.Errorf("DecodeState(%s) = %v, %v; want %v", body, got, err, want)
		}
	}
	for body, path := range map[string]string{
		``:                                      "",
		`null`:                                  "",
		`"stopped"`:                             "",
		`{}`:                                    "state",
		`{"state":null}`:                        "state",
		`{"state":"stopped"}`:                   "state",
		`{"state":{}}`:                          "state.type",
		`{"state":{"type":"Stopped"}}`:          "state.type",
		`{"state":{"type":7}}`:                  "state.type",
		`{"state":{"type":"migration_target"}}`: "state.value",
		`{"state":{"type":"migration_target","value":{}}}`:                              "state.value.src_propolis_addr",
		`{"state":{"type":"migration_target","value":{"src_propolis_addr":"a:1"}}}`:     "state.value.src_propolis_addr",
		`{"state":{"type":"migration_target","value":{"src_propolis_addr":"[::1]:0"}}}`: "state.value.src_propolis_addr",
		`{"state":{"type":"stopped"}`:                                                   "",
		`{"state":{"type":"stopped"},"state":{"type":"running"}}`:                       "state",
	} {
		got, err := wire.DecodeState([]byte(body))
		bad, ok := errors.AsType[*wire.Error](err)
		if !ok || bad.Path != path || got != (wire.StateRequest{}) {
			t.Errorf("DecodeState(%s) = %v, %v; want an error at %q", body, got, err, path)
		}
	}
}

func TestDecodeSoftTime(t *testing.T) {
	t.Parallel()
	body := func(state, secs string) []byte {
		return []byte(`{"state":{"type":"` + state + `"},"acpi_timeout_secs":` + secs + `}`)
	}
	for _, tt := range []struct {
		state, secs string
		want        time.Duration // negative: none
	}{
		{"stopped", "null", -1}, {"reboot", "null", -1}, {"running", "null", -1}, {"running", "30", -1},
		{"stopped", "0", 0}, {"stopped", "30", 30 * time.Second}, {"reboot", "90", 90 * time.Second},
		{"stopped", "9223372036", 9223372036 * time.Second}, {"reboot", "18446744073709551615", 9223372036 * time.Second},
	} {
		got, err := wire.DecodeState(body(tt.state, tt.secs))
		if err != nil || (got.Soft != nil) != (tt.want >= 0) || got.Soft != nil && *got.Soft != tt.want {
			t.Errorf("%s, %s: %v, %v", tt.state, tt.secs, got.Soft, err)
		}
	}
	for _, tt := range [][3]string{
		{"stopped", "-1", "want an integer from 0"}, {"stopped", "1.5", "want an integer"}, {"stopped", `"30"`, "want an integer"},
		{"stopped", "18446744073709551616", "want an integer"}, {"reboot", "1e3", "want an integer"}, {"reboot", "{}", "want an integer"},
		{"running", "-1", "want an integer"},
	} {
		got, err := wire.DecodeState(body(tt[0], tt[1]))
		if err == nil || pathOf(err) != "acpi_timeout_secs" || !strings.Contains(err.Error(), tt[2]) || got != (wire.StateRequest{}) {
			t.Errorf("%s, %s: %v, %v", tt[0], tt[1], got, err)
		}
	}
}

// pathOf returns the path of a *wire.Error, "" for anything else.
func pathOf(err error) string {
	if bad, ok := errors.AsType[*wire.Error](err); ok {
		return bad.Path
	}
	return ""
}

func TestDecodeSnapshot(t *testing.T) {
	t.Parallel()
	want := uuid.New()
	if got, err := wire.DecodeSnapshot([]byte(`{"snapshot_id":"` + strings.ToUpper(want.String()) + `"}`)); err != nil || got != want {
		t.Errorf("DecodeSnapshot = %v, %v; want %v", got, err, want)
	}
	for _, body := range []string{`{}`, `{"snapshot_id":null}`, `{"snapshot_id":"` + want.String()[1:] + `"}`} {
		if _, err := wire.DecodeSnapshot([]byte(body)); pathOf(err) != "snapshot_id" {
			t.Errorf("DecodeSnapshot(%s) = %v; want an error at snapshot_id", body, err)
		}
	}
}
