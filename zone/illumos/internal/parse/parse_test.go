package parse

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sledagent/sledagent/internal/golden"
	"github.com/sledagent/sledagent/zone"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// checkJSON compares a value, as JSON, with a file.
func checkJSON(t *testing.T, name string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, name, string(got)+"\n")
}

func TestZonesGolden(t *testing.T) {
	t.Parallel()
	zones, garbage := Zones(testdata(t, "list.txt"))
	checkJSON(t, "list.json", struct {
		Zones   []Zone
		Garbage []string
	}{zones, garbage})
}

func TestExportGolden(t *testing.T) {
	t.Parallel()
	out := testdata(t, "export.txt")
	cfg, whole := Export(out)
	checkJSON(t, "export.json", cfg)
	if !whole {
		t.Error("it is not whole")
	}
	for _, cut := range []string{"", "\n", "create -b\nadd net\nset physical=a0\nend\n", string(out[:len(out)-1]), string(out[:len(out)-4])} {
		if cfg, whole := Export([]byte(cut)); whole {
			t.Errorf("%q is whole: %+v", cut, cfg)
		}
	}
}

func TestColumn(t *testing.T) {
	t.Parallel()
	// A single field is not escaped.
	got := Column([]byte("oxControlInstance0\n\n2:8:20:aa:b:c\r\na\\b\nlast"))
	want := []string{"oxControlInstance0", "2:8:20:aa:b:c", `a\b`, "last"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	out := `oxGuest0:underlay_stub0:2\:8\:20\:aa\:b\:c:0
empty:::
back\\slash:a\\\:b:c:d
short:line
one:too:many:here:now

ends in a backslash:b:c:d\
`
	want := [][]string{
		{"oxGuest0", "underlay_stub0", "2:8:20:aa:b:c", "0"},
		{"empty", "", "", ""},
		{`back\slash`, `a\:b`, "c", "d"},
		{"ends in a backslash", "b", "c", `d\`},
	}
	if diff := cmp.Diff(want, Records([]byte(out), 4)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddrs(t *testing.T) {
	t.Parallel()
	out := `lo0/v4:static:ok:127.0.0.1/8
underlay0/ll:addrconf:ok:fe80\:\:8\:20ff\:fe00\:1%underlay0/10
underlay0/sled6:static:ok:fd00\:1122\:3344\:101\:\:1/64
tun0/v4:static:ok:10.0.0.1->10.0.0.2
net0/dhcp:dhcp:disabled:?
net0:static:ok:10.0.0.3/24
`
	want := []Addr{
		{"lo0", "static", "ok", netip.MustParseAddr("127.0.0.1"), 8},
		{"underlay0", "addrconf", "ok", netip.MustParseAddr("fe80::8:20ff:fe00:1"), 10},
		{"underlay0", "static", "ok", netip.MustParseAddr("fd00:1122:3344:101::1"), 64},
		{"tun0", "static", "ok", netip.MustParseAddr("10.0.0.1"), -1},
	}
	if diff := cmp.Diff(want, Addrs([]byte(out)), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAddrContains(t *testing.T) {
	t.Parallel()
	a := Addr{Addr: netip.MustParseAddr("fd00:1::1"), Bits: 64}
	for other, want := range map[string]bool{"fd00:1::c": true, "fd00:1:0:0:ffff::": true, "fd00:1:0:1::c": false, "10.0.0.1": false} {
		if got := a.Contains(netip.MustParseAddr(other)); got != want {
			t.Errorf("%s: %v", other, got)
		}
	}
	a.Bits = -1
	if a.Contains(a.Addr) {
		t.Error("an address without a prefix contains something")
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]ServiceView{
		"online         -\n               10:00:00     4711 ctrun\n               10:00:00     4712 sh\n": {"online", "-", 2},
		"offline        online\n": {"offline", "online", 0},
		"":                        {}, "online\n": {}, "offline* -\n": {}, "a b c\n": {},
	} {
		got, ok := Service([]byte(out))
		if got != want || ok != (want != ServiceView{}) {
			t.Errorf("%q: got %v, %v", out, got, ok)
		}
	}
}

func TestServiceState(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]string{"online\n": "online", "": "", " \n": "", "two words\n": ""} {
		if got := ServiceState([]byte(out)); got != want {
			t.Errorf("%q: got %q, want %q", out, got, want)
		}
	}
}

func TestDataset(t *testing.T) {
	t.Parallel()
	name, mountpoint, ok := Dataset([]byte("rpool/zones/a b\t/zones/a b\n"))
	if name != "rpool/zones/a b" || mountpoint != "/zones/a b" || !ok {
		t.Errorf("got %q, %q, %v", name, mountpoint, ok)
	}
	for _, out := range []string{"", "rpool", "\t/zones", "a\t/a\nb\t/b\n", "a\t/a\tmore\n"} {
		if name, mountpoint, ok := Dataset([]byte(out)); ok {
			t.Errorf("%q was read as %q on %q", out, name, mountpoint)
		}
	}
}

// For any output, each line is a zone or garbage, and no zone is absent.
func FuzzZones(f *testing.F) {
	data, err := os.ReadFile("testdata/list.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add("1:a\\:b:running:/x\\\\:y:z\n::::\n")
	f.Fuzz(func(t *testing.T, out string) {
		zones, garbage := Zones([]byte(out))
		lines := 0
		for line := range strings.Lines(out) {
			if line != "\n" {
				lines++
			}
		}
		if len(zones)+len(garbage) != lines {
			t.Errorf("%d zones and %d unparseable lines of %d lines", len(zones), len(garbage), lines)
		}
		for _, z := range zones {
			if z.State == zone.Absent || z.ID < -1 || z.Name != GlobalZone && zone.ValidName(z.Name) != nil {
				t.Errorf("read %+v", z)
			}
		}
	})
}

// Escaped values are parsed back, in any field.
func FuzzRecords(f *testing.F) {
	f.Add("link", `2:8:20`, `back\slash`)
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		want := []string{a, b, c}
		var line []string
		for _, field := range want {
			if strings.ContainsAny(field, "\r\n") {
				return
			}
			field = strings.ReplaceAll(field, `\`, `\\`)
			line = append(line, strings.ReplaceAll(field, ":", `\:`))
		}
		got := Records([]byte(strings.Join(line, ":")+"\n"), 3)
		if diff := cmp.Diff([][]string{want}, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// The other functions do not panic, and no link has an empty name.
func FuzzOthers(f *testing.F) {
	data, err := os.ReadFile("testdata/export.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("lo0/v4:static:ok:127.0.0.1/8\n"))
	f.Add([]byte("end\nset physical=a\nadd net\nset\nset =\nadd\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		cfg, _ := Export(out)
		for _, link := range cfg.Links {
			if link == "" {
				t.Error("a link without a name")
			}
		}
		for _, a := range Addrs(out) {
			if !a.Addr.IsValid() {
				t.Errorf("read %+v", a)
			}
		}
		Column(out)
		ServiceState(out)
		Dataset(out)
	})
}
