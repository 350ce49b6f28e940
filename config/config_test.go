package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
)

// sameConfig compares values whose types have unexported fields.
var sameConfig = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

func TestEmptyFileIsDefault(t *testing.T) {
	t.Parallel()
	got, err := Parse("empty.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, sameConfig); diff != "" {
		t.Errorf("an empty file is not the default (-want +got):\n%s", diff)
	}
}

func TestDocumentedDefaults(t *testing.T) {
	t.Parallel()
	got := load(t, "documented.toml")
	want := Default()
	want.SledID = uuid.MustParse("5bb1ae42-1c3f-4a52-9d0e-0f4f6c7a8b90")
	want.Log.Format = FormatJSON
	if diff := cmp.Diff(want, got, sameConfig); diff != "" {
		t.Errorf("the documented values are not the defaults (-default +documented):\n%s", diff)
	}
}

// Every documented key is one of fields, is printed, and has a place in Config,
// which has no others.
func TestEveryKeyHasItsPlace(t *testing.T) {
	t.Parallel()
	var ours []string
	for _, f := range fields {
		ours = append(ours, f.key)
	}
	for _, name := range []string{"documented.toml", "changed.toml"} {
		data := testdata(t, name)
		if diff := cmp.Diff(keysOf(t, data), ours); diff != "" {
			t.Errorf("%s has other keys than fields (-file +fields):\n%s", name, diff)
		}
	}
	changed := load(t, "changed.toml")
	if diff := cmp.Diff(ours, keysOf(t, written(t, changed))); diff != "" {
		t.Errorf("Write prints other keys than there are (-fields +written):\n%s", diff)
	}
	if places := leaves("Config", reflect.ValueOf(*changed)); len(places) != len(fields) {
		t.Errorf("Config has %d places for %d keys", len(places), len(fields))
	}
}

// Setting one key changes one value, that of the same name.
func TestKeySetsItsNamesake(t *testing.T) {
	t.Parallel()
	values, bad := decode(testdata(t, "changed.toml"))
	if bad != nil {
		t.Fatal(bad)
	}
	before := leaves("", reflect.ValueOf(*Default()))
	for _, f := range fields {
		c := Default()
		if err := f.set(c, values[f.key]); err != nil {
			t.Errorf("%s: %v", f.key, err)
		}
		for place, after := range leaves("", reflect.ValueOf(*c)) {
			changed := !reflect.DeepEqual(before[place], after)
			namesake := strings.EqualFold(place, "."+strings.ReplaceAll(f.key, "_", ""))
			if changed != namesake {
				t.Errorf("%s: %s was %v and is %v", f.key, place, before[place], after)
			}
		}
	}
}

func TestNormalForms(t *testing.T) {
	t.Parallel()
	c := load(t, "changed.toml")
	for _, v := range []struct{ name, got, want string }{
		{"StateDir", c.StateDir, "/tmp/sled"},
		{"SledID", c.SledID.String(), "5bb1ae42-1c3f-4a52-9d0e-0f4f6c7a8b90"},
		{"Nexus.Addresses", c.Nexus.Addresses[0], "https://nexus.example"},
		{"Zones.Illumos.CommandPath", c.Zones.Illumos.CommandPath, "/tmp/fake-zones"},
		{"Zones.Process.Propolis", c.Zones.Process.Propolis[2], "exec \"$0\" {port}\n"},
	} {
		if v.got != v.want {
			t.Errorf("%s = %q, want %q", v.name, v.got, v.want)
		}
	}
}

func TestAdminSocketFollowsStateDir(t *testing.T) {
	t.Parallel()
	c, err := Parse("sled.toml", []byte(`state_dir = "/srv/sled"`))
	if err != nil {
		t.Fatal(err)
	}
	if want := "/srv/sled/admin.sock"; c.Admin.Socket != want {
		t.Errorf("Admin.Socket = %q, want %q", c.Admin.Socket, want)
	}
	longest := "/" + strings.Repeat("d", maxSocketPath-len("//admin.sock"))
	if c, err = Parse("sled.toml", []byte(`state_dir = "`+longest+`"`)); err != nil {
		t.Errorf("a socket path of %d bytes is refused: %v", maxSocketPath, err)
	} else if len(c.Admin.Socket) != maxSocketPath {
		t.Errorf("the longest socket path has %d bytes, want %d", len(c.Admin.Socket), maxSocketPath)
	}
	long := `state_dir = "` + longest + `d"` + "\n[admin]\nsocket = \"/run/a.sock\""
	if _, err = Parse("sled.toml", []byte(long)); err != nil {
		t.Errorf("a long state_dir is refused although the socket lies elsewhere: %v", err)
	}
}

func TestBackendOn(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		backend Backend
		goos    string
		want    Backend
	}{
		{BackendAuto, "illumos", BackendIllumos},
		{BackendAuto, "linux", BackendProcess},
		{BackendIllumos, "linux", BackendIllumos},
		{BackendProcess, "illumos", BackendProcess},
	} {
		if got := v.backend.On(v.goos); got != v.want {
			t.Errorf("%s on %s: %s, want %s", v.backend, v.goos, got, v.want)
		}
	}
}

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func load(t testing.TB, name string) *Config {
	t.Helper()
	c, err := Load(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// keysOf returns the dotted names of a file's values in the file's order.
func keysOf(t testing.TB, data []byte) []string {
	t.Helper()
	var tree map[string]any
	meta, err := toml.Decode(string(data), &tree)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, k := range meta.Keys() {
		if meta.Type(k...) != "Hash" {
			keys = append(keys, k.String())
		}
	}
	return keys
}

// leaves returns the values in v that are not structs of this package, by path.
func leaves(path string, v reflect.Value) map[string]any {
	if v.Kind() != reflect.Struct || v.Type().PkgPath() != reflect.TypeFor[Config]().PkgPath() {
		return map[string]any{path: v.Interface()}
	}
	found := make(map[string]any)
	for i := range v.NumField() {
		for p, leaf := range leaves(path+"."+v.Type().Field(i).Name, v.Field(i)) {
			found[p] = leaf
		}
	}
	return found
}
