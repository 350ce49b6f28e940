package wire_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/wire"
)

// fullBody is a registration with every field and every kind of component that
// the API's document has.
func fullBody(t testing.TB) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// What the API's document says beside types, as patterns over paths.
var (
	// Members that may be left out.
	removable = regexp.MustCompile(`^(migration_id|local_config\.primary_nic_mtu|.*\.host_domain|.*\.external_ips\.v[46]` +
		`|.*\.ephemeral_ip|.*\.source_nat|.*\.filter_(hosts|ports|protocols)|.*\.filter_protocols\[\d\]\.value|.*\.code` +
		`|.*\.smbios|.*\.cpuid|.*\.subleaf|.*\.workers|.*\.guest_hv_interface|.*\bip_config\.value(\.v4)?\.transit_ips)$`)
	// Those of them that must not be null all the same.
	notNull = regexp.MustCompile(`\.(guest_hv_interface|transit_ips)$`)
	// An IPv6 configuration must say which transit networks it has.
	neverRemovable = regexp.MustCompile(`^local_config\.nics\[2\]\.ip_config\.value\.transit_ips$`)
	// Strings that any string may take the place of.
	freeText = regexp.MustCompile(`\.(request_json|base64|path|vnic_name|link_name|source|target|backend_id|manufacturer` +
		`|product_name|serial_number|boot-settings\.component\.order\[\d\]\.id)$`)
	// Objects whose members are the sender's.
	anyKeys = regexp.MustCompile(`^vmm_spec\.components$`)
)

// limits are the largest integers, by the last key of the path.
var limits = map[string]uint64{"cpus": 1<<8 - 1, "bus": 1<<8 - 1, "device": 1<<8 - 1, "function": 1<<8 - 1, "downstream_bus": 1<<8 - 1,
	"slot": 1<<8 - 1, "icmp_type": 1<<8 - 1, "serial_number": 1<<8 - 1, "priority": 1<<16 - 1, "first_port": 1<<16 - 1, "last_port": 1<<16 - 1,
	"vni": 1<<32 - 1, "value": 1<<32 - 1, "primary_nic_mtu": 1<<32 - 1, "block_size": 1<<32 - 1, "chunk_size": 1<<32 - 1, "fail_exports": 1<<32 - 1,
	"fail_imports": 1<<32 - 1, "leaf": 1<<32 - 1, "subleaf": 1<<32 - 1, "eax": 1<<32 - 1, "ebx": 1<<32 - 1, "ecx": 1<<32 - 1, "edx": 1<<32 - 1,
	"gen": 1<<63 - 1, "memory_mb": 1<<64 - 1, "version": 1<<64 - 1, "guest_cid": 1<<64 - 1, "workers": 1<<64 - 1}

// A damage is one way to break a body at one path.
type damage struct {
	path, how string
	body      []byte
}

// damages breaks every value of a body in every way that must be noticed.
func damages(t testing.TB, body []byte) []damage {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var root any
	if err := dec.Decode(&root); err != nil {
		t.Fatal(err)
	}
	var all []damage
	marshal := func(path, how string) {
		b, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, damage{path, how, b})
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		for how, bad := range replacements(path, v) {
			set(bad)
			marshal(path, how)
			set(v)
		}
		switch v := v.(type) {
		case map[string]any:
			for key := range v {
				kid, at := v[key], strings.TrimPrefix(path+"."+key, ".")
				mayGo := anyKeys.MatchString(path) || removable.MatchString(at) && !neverRemovable.MatchString(at)
				if !mayGo {
					delete(v, key)
					marshal(at, "removed")
					v[key] = kid
				}
				walk(at, kid, func(x any) { v[key] = x })
			}
		case []any:
			for i := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(x any) { v[i] = x })
			}
		}
	}
	walk("", root, func(x any) { root = x })
	return all
}

// replacements are the values that must be refused in v's place.
func replacements(path string, v any) map[string]any {
	bad := map[string]any{}
	if !removable.MatchString(path) || notNull.MatchString(path) {
		bad["null"] = nil
	}
	switch v := v.(type) {
	case map[string]any:
		bad["a list"], bad["a string"] = []any{}, "x"
		if strings.HasPrefix(path, "vmm_spec.") && !anyKeys.MatchString(path) && !openObject.MatchString(path) {
			more := map[string]any{"surplus": 1}
			for k, kid := range v {
				more[k] = kid
			}
			bad["surplus"] = more
		}
	case []any:
		bad["an object"], bad["a number"] = map[string]any{}, json.Number("3")
	case bool:
		bad["a string"], bad["a number"] = "true", json.Number("1")
	case string:
		bad["a number"], bad["an object"] = json.Number("7"), map[string]any{}
		if !freeText.MatchString(path) {
			bad["malformed"], bad["empty"] = "zz zz\x00", ""
			bad["long"] = strings.Repeat("9", 4000)
		}
	case json.Number:
		bad["a string"], bad["negative"], bad["a fraction"] = v.String(), json.Number("-1"), json.Number("1.0")
		bad["an exponent"], bad["huge"] = json.Number("1e0"), json.Number("18446744073709551616")
		key := path[strings.LastIndexByte(path, '.')+1:]
		key, _, _ = strings.Cut(key, "[")
		if max := limits[key]; max < 1<<64-1 {
			bad["too big"] = json.Number(fmt.Sprint(max + 1))
		}
	}
	return bad
}

// openObject matches the objects of a spec that tolerate unknown members.
var openObject = regexp.MustCompile(`\.(pci_path|order\[\d\])$`)

func TestDecodeNamesTheDamagedField(t *testing.T) {
	t.Parallel()
	body := fullBody(t)
	if _, err := wire.Decode(body); err != nil {
		t.Fatalf("Decode(full.json) = %v", err)
	}
	all := damages(t, body)
	if len(all) < 1500 {
		t.Fatalf("only %d damages: the walk lost its way", len(all))
	}
	for _, d := range all {
		got, err := wire.Decode(d.body)
		switch {
		case err == nil:
			t.Errorf("%s (%s): accepted", d.path, d.how)
		case got != nil:
			t.Errorf("%s (%s): a registration beside the error", d.path, d.how)
		case !named(err, d):
			t.Errorf("%s (%s): the error does not name the field: %v", d.path, d.how, err)
		case len(err.Error()) > 700:
			t.Errorf("%s (%s): error of %d bytes", d.path, d.how, len(err.Error()))
		}
	}
}

// named tells whether the error names the damaged field: by its path, or, if
// the damage made a member of it wrong, by a path below it.
func named(err error, d damage) bool {
	path := err.(*wire.Error).Path
	switch {
	case d.path == "", path == d.path, d.how == "surplus" && path == d.path+".surplus":
		return true
	// An interface id that is no longer a backend's key is the NIC's fault.
	case strings.HasPrefix(d.path, "vmm_spec.components."):
		return strings.HasPrefix(path, d.path)
	}
	return false
}

func TestUnknownKeysAreTolerated(t *testing.T) {
	t.Parallel()
	for _, at := range []string{`"metadata":{`, `"local_config":{`, `"dhcp_config":{`, `"vmm_runtime":{`, `"vmm_spec":{`, `"pci_path":{`} {
		var compact any
		if err := json.Unmarshal(fullBody(t), &compact); err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(compact)
		b = []byte(strings.Replace(string(b), at, at+`"surplus":[{"deep":null}],`, 1))
		if !slices.Contains(strings.Split(string(b), `"`), "surplus") {
			t.Fatalf("%s is not in the body", at)
		}
		if _, err := wire.Decode(b); err != nil {
			t.Errorf("unknown key in %s}: %v", at, err)
		}
	}
}
