package propolis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const oddKey = "nic:1/é\""

// networkBackends returns the keys of a spec's network backends, in order.
func networkBackends(spec []byte) (keys []string, err error) {
	components, err := componentsOf(spec)
	for _, c := range components {
		if c.kind == networkBackend {
			keys = append(keys, c.key)
		}
	}
	return keys, err
}

// TestSetVNICsGolden compares SetVNICs with replacements made by hand.
func TestSetVNICsGolden(t *testing.T) {
	t.Parallel()
	spec := string(read(t, "spec.json"))
	for _, tc := range []struct {
		vnic     map[string]string
		old, new []string
	}{
		{nil, nil, nil},
		{map[string]string{"nic0": "vopte3"}, []string{`"vnic_name" : ""`}, []string{`"vnic_name" : "vopte3"`}},
		{map[string]string{oddKey: `a"b`}, []string{`"old\"}{"`}, []string{`"a\"b"`}},
		{map[string]string{"nic0": "vopte10", oddKey: ""},
			[]string{`"vnic_name" : ""`, `"old\"}{"`}, []string{`"vnic_name" : "vopte10"`, `""`}},
	} {
		want := spec
		for i := range tc.old {
			if strings.Count(spec, tc.old[i]) != 1 {
				t.Fatalf("%s is not there once", tc.old[i])
			}
			want = strings.Replace(want, tc.old[i], tc.new[i], 1)
		}
		got, err := SetVNICs([]byte(spec), tc.vnic)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.vnic, diff)
		}
	}
}

func TestSetVNICsLeavesItsArgumentsAlone(t *testing.T) {
	t.Parallel()
	spec := json.RawMessage(read(t, "spec.json"))
	before, vnic := slices.Clone(spec), map[string]string{"nic0": "v0"}
	got, err := SetVNICs(spec, vnic)
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	if string(spec) != string(before) || len(vnic) != 1 {
		t.Error("the arguments were changed")
	}
}

func TestSetVNICsRefuses(t *testing.T) {
	t.Parallel()
	nic := func(body string) string {
		return `{"components":{"nic0":` + body + `}}`
	}
	const good = `{"type":"virtio_network_backend","component":{"vnic_name":""}}`
	for name, tc := range map[string]struct{ spec, says string }{
		"no such component": {`{"components":{}}`, `"nic0"`},
		"other type":        {nic(`{"type":"serial_port","component":{"vnic_name":""}}`), "serial_port"},
		"type no string":    {nic(`{"type":1,"component":{"vnic_name":""}}`), `"nic0"`},
		"no type":           {nic(`{"component":{"vnic_name":""}}`), `"nic0"`},
		"no body":           {nic(`{"type":"virtio_network_backend"}`), `"nic0"`},
		"body no object":    {nic(`{"type":"virtio_network_backend","component":[]}`), `"nic0"`},
		"no vnic_name":      {nic(`{"type":"virtio_network_backend","component":{}}`), `"nic0"`},
		"twice vnic_name":   {nic(`{"type":"virtio_network_backend","component":{"vnic_name":"","vnic\u005fname":""}}`), "twice"},
		"twice the key":     {`{"components":{"nic0":` + good + `,"nic0":` + good + `}}`, "twice"},
		"component no obj.": {nic(`"x"`), `"nic0"`},
		"components a list": {`{"components":[]}`, "components"},
		"no components":     {`{}`, "components"},
		"list":              {`[]`, "object"},
		"number":            {`1`, "object"},
		"empty":             {``, "JSON"},
		"two values":        {`{} {}`, "JSON"},
	} {
		_, err := SetVNICs([]byte(tc.spec), map[string]string{"nic0": "v0"})
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v, want an error that says %s", name, err, tc.says)
		}
	}
	if _, err := SetVNICs([]byte(nic(good)), map[string]string{"nic0": "\xff"}); err == nil {
		t.Error("a name that is not UTF-8 was accepted")
	}
}

// A randomSpec is a spec with random spacing before and after its names were set.
type randomSpec struct {
	t             *rapid.T
	before, after strings.Builder
	vnic          map[string]string
	backends      []string
}

var randomText = rapid.OneOf(rapid.String(),
	rapid.SampledFrom([]string{"components", "vnic_name", "a:b", `\"`, "}{", "é\u2028"}))

// write appends tokens to both texts, each followed by random space.
func (s *randomSpec) write(tokens ...string) {
	for _, token := range tokens {
		token += rapid.StringOfN(rapid.SampledFrom([]rune(" \t\r\n")), 0, 3, -1).Draw(s.t, "space")
		s.before.WriteString(token)
		s.after.WriteString(token)
	}
}

func (s *randomSpec) junk() string {
	return rapid.SampledFrom([]string{"18446744073709551616", "-1.50e+10", "null", `{"vnic_name":"decoy"}`,
		`[ {"components":{}}, [] ]`, `"\u0022vnic_name\u0022:"`}).Draw(s.t, "junk")
}

func (s *randomSpec) component(key string) {
	s.write(quoted(key), ":")
	if rapid.Bool().Draw(s.t, "other") {
		s.write("{", `"component"`, ":", s.junk(), ",", `"type"`, ":", `"virtio_nic"`, "}")
		return
	}
	s.backends = append(s.backends, key)
	s.write("{", `"type"`, ":", `"virtio_network_backend"`, ",", `"component"`, ":", "{", `"y"`, ":", s.junk(), ",",
		`"vnic_name"`, ":")
	name := randomText.Draw(s.t, "old")
	s.before.WriteString(quoted(name))
	if rapid.Bool().Draw(s.t, "set") {
		name = randomText.Draw(s.t, "new")
		s.vnic[key] = name
	}
	s.after.WriteString(quoted(name))
	s.write("", "}", "}")
}

func TestSetVNICsChangesNothingElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := &randomSpec{t: t, vnic: map[string]string{}}
		s.write("", "{", `"x"`, ":", s.junk(), ",", `"components"`, ":", "{")
		for i, key := range rapid.SliceOfNDistinct(randomText, 0, 5, rapid.ID[string]).Draw(t, "keys") {
			if i > 0 {
				s.write(",")
			}
			s.component(key)
		}
		s.write("}", "}")
		got, err := SetVNICs([]byte(s.before.String()), s.vnic)
		if err != nil {
			t.Fatalf("%s: %v", s.before.String(), err)
		}
		if diff := cmp.Diff(s.after.String(), string(got)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		if keys, err := networkBackends(got); err != nil || !slices.Equal(keys, s.backends) {
			t.Fatalf("got backends %q (%v), want %q", keys, err, s.backends)
		}
	})
}

func quoted(s string) string {
	q, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(q)
}

// FuzzSetVNICs sets all backends of any spec and compares the results as decoded by
// encoding/json.
func FuzzSetVNICs(f *testing.F) {
	f.Add(read(f, "spec.json"), "vopte0")
	f.Add([]byte(`{"components":{"a":{"type":"virtio_network_backend","component":{"vnic_name":null}}}}`), "\u2028")
	f.Add([]byte(`{"components":{"":{"component":{"vnic_name":{}},"type":"virtio\u005fnetwork_backend"}},"z":[1,2]}`), "<&>")
	f.Fuzz(func(t *testing.T, spec []byte, name string) {
		keys, err := networkBackends(spec)
		if err != nil {
			return
		}
		vnic := map[string]string{}
		for _, key := range keys {
			vnic[key] = name
		}
		got, err := SetVNICs(spec, vnic)
		if err != nil {
			return
		}
		want := decode(t, spec)
		for _, key := range keys {
			c := want["components"].(map[string]any)[key].(map[string]any)
			c["component"].(map[string]any)["vnic_name"] = name
		}
		if diff := cmp.Diff(want, decode(t, got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if again, err := SetVNICs(got, vnic); err != nil || string(again) != string(got) {
			t.Errorf("setting the names again gives %s (%v), want %s", again, err, got)
		}
	})
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v map[string]any
	if err := d.Decode(&v); err != nil {
		t.Fatal(fmt.Errorf("decode %s: %w", text, err))
	}
	return v
}
