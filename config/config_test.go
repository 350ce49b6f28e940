package config

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
)

// sameConfig compares values whose types have unexported fields.
var sameConfig = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

func TestEmptyFileIsDefault(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(parse(t, []byte(defaultFile)), parse(t, nil), sameConfig); diff != "" {
		t.Errorf("an empty file is not the default (-want +got):\n%s", diff)
	}
}

func TestDocumentedDefaults(t *testing.T) {
	t.Parallel()
	got := load(t, "documented.toml")
	want := parse(t, nil)
	want.SledID = uuid.MustParse("5bb1ae42-1c3f-4a52-9d0e-0f4f6c7a8b90")
	want.Log.Format = FormatJSON
	if diff := cmp.Diff(want, got, sameConfig); diff != "" {
		t.Errorf("the documented values are not the defaults (-default +documented):\n%s", diff)
	}
}

// Every documented key is in keys, is printed, and has a place in Config, and there are no
// others.
func TestEveryKeyHasItsPlace(t *testing.T) {
	t.Parallel()
	var ours []string
	for _, k := range new(Config).keys() {
		ours = append(ours, k.name)
	}
	for name, data := range map[string]string{
		"default.toml": defaultFile, "documented.toml": testdata(t, "documented.toml"), "changed.toml": testdata(t, "changed.toml"),
	} {
		if diff := cmp.Diff(namesIn(data), ours); diff != "" {
			t.Errorf("%s has other keys than there are (-file +keys):\n%s", name, diff)
		}
	}
	changed := load(t, "changed.toml")
	if diff := cmp.Diff(ours, namesIn(string(written(t, changed)))); diff != "" {
		t.Errorf("Write prints other keys than there are (-keys +written):\n%s", diff)
	}
	if places := leaves("Config", reflect.ValueOf(*changed)); len(places) != len(ours) {
		t.Errorf("Config has %d places for %d keys", len(places), len(ours))
	}
}

// Setting one key changes exactly the value of the same name.
func TestKeySetsItsNamesake(t *testing.T) {
	t.Parallel()
	values, bad := decode([]byte(testdata(t, "changed.toml")))
	if len(bad) > 0 {
		t.Fatal(bad[0])
	}
	before := leaves("", reflect.ValueOf(*parse(t, nil)))
	for i := range new(Config).keys() {
		c := parse(t, nil)
		k := c.keys()[i]
		if err := k.set(values[k.name], nil); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		for place, after := range leaves("", reflect.ValueOf(*c)) {
			changed := !reflect.DeepEqual(before[place], after)
			namesake := strings.EqualFold(place, "."+strings.ReplaceAll(k.name, "_", ""))
			if changed != namesake {
				t.Errorf("%s: %s was %v and is %v", k.name, place, before[place], after)
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
		t.Errorf("a long state_dir is refused although the socket is elsewhere: %v", err)
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

func testdata(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func parse(t testing.TB, data []byte) *Config {
	t.Helper()
	c, err := Parse("sled.toml", data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t testing.TB, name string) *Config {
	t.Helper()
	c, err := Load(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// namesIn returns the dotted names of the keys in a file with one key per line.
func namesIn(file string) (names []string) {
	table := ""
	for line := range strings.Lines(file) {
		if name, ok := strings.CutPrefix(line, "["); ok {
			table = strings.TrimRight(name, "]\n") + "."
		} else if name, _, ok := strings.Cut(line, " = "); ok && name[0] != '#' {
			names = append(names, table+name)
		}
	}
	return names
}

// leaves returns the values in v that are not structs of this package, by path.
func leaves(path string, v reflect.Value) map[string]any {
	if v.Kind() != reflect.Struct || v.Type().PkgPath() != reflect.TypeFor[Config]().PkgPath() {
		return map[string]any{path: v.Interface()}
	}
	found := make(map[string]any)
	for i := range v.NumField() {
		maps.Copy(found, leaves(path+"."+v.Type().Field(i).Name, v.Field(i)))
	}
	return found
}
