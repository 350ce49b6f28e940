// Package wiretest has registrations, and damaged bodies of the sled API, for tests.
package wiretest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

//go:embed full.json
var full []byte

// Full returns a valid registration with every field and every kind of component of the
// API's document.
func Full() []byte { return bytes.Clone(full) }

// Registration returns the registration of a small VMM.
func Registration(o wire.BodyOptions) *vmm.Registration {
	r, err := wire.Decode(wire.Newest, wire.NewBody(o))
	if err != nil {
		panic(err)
	}
	return r
}

// A Damage is a registration damaged at one path.
type Damage struct {
	// Path is the damaged field, as in "local_config.nics[0].mac"; empty for the body.
	Path string
	// How describes the damage: "removed", "null", "too big".
	How  string
	Body []byte
}

// surplus is the damage by an unknown member, and that member's name.
const surplus = "surplus"

// Named reports whether an error's path identifies the damage.
func (d Damage) Named(path string) bool {
	return d.Path == "" || path == d.Path || d.How == surplus && path == d.Path+"."+surplus
}

// Damages damages every value of Full in every way that must be noticed, in a fixed
// order.
func Damages() []Damage {
	dec := json.NewDecoder(bytes.NewReader(full))
	dec.UseNumber()
	w := &walker{}
	if err := dec.Decode(&w.root); err != nil {
		panic(fmt.Sprintf("decode full.json: %v", err))
	}
	w.walk("", w.root, func(v any) { w.root = v })
	return w.all
}

type walker struct {
	root any
	all  []Damage
}

// note adds the present body.
func (w *walker) note(path, how string) {
	body, err := json.Marshal(w.root)
	if err != nil {
		panic(fmt.Sprintf("encode a damaged body: %v", err))
	}
	w.all = append(w.all, Damage{path, how, body})
}

// walk damages the value v at path and everything below it. set replaces v.
func (w *walker) walk(path string, v any, set func(any)) {
	bad := replacements(path, v)
	for _, how := range slices.Sorted(maps.Keys(bad)) {
		set(bad[how])
		w.note(path, how)
	}
	set(v)
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at, kid := strings.TrimPrefix(path+"."+key, "."), v[key]
			if !mayBeAbsent(at) {
				delete(v, key)
				w.note(at, "removed")
				v[key] = kid
			}
			w.walk(at, kid, func(x any) { v[key] = x })
		}
	case []any:
		for i := range v {
			if _, alike := v[i].(json.Number); alike && i > 0 {
				continue // bytes of a serial number: one represents all
			}
			w.walk(fmt.Sprintf("%s[%d]", path, i), v[i], func(x any) { v[i] = x })
		}
	}
}

// replacements returns the values that must be refused in place of v, by kind of damage.
func replacements(path string, v any) map[string]any {
	bad := map[string]any{}
	if !mayBeNull(path) {
		bad["null"] = nil
	}
	switch v := v.(type) {
	case map[string]any:
		bad["a list"], bad["a string"] = []any{}, "x"
		if closed(path) {
			more := maps.Clone(v)
			more[surplus] = 1
			bad[surplus] = more
		}
	case []any:
		bad["an object"], bad["a number"] = map[string]any{}, json.Number("3")
	case bool:
		bad["a string"], bad["a number"] = "true", json.Number("1")
	case string:
		bad["a number"], bad["an object"] = json.Number("7"), map[string]any{}
		if !freeText.MatchString(path) {
			bad["malformed"], bad["empty"], bad["long"] = "zz zz\x00", "", strings.Repeat("9", 4000)
		}
	case json.Number:
		bad["a string"], bad["negative"], bad["a fraction"] = v.String(), json.Number("-1"), json.Number("1.0")
		bad["an exponent"], bad["huge"] = json.Number("1e0"), json.Number("18446744073709551616")
		if limit := limitOf(path); limit < 1<<64-1 {
			bad["too big"] = json.Number(fmt.Sprint(limit + 1))
		}
	}
	return bad
}

// Constraints of the API's document besides types, as patterns of paths.
var (
	optional = regexp.MustCompile(`^(migration_id|local_config\.primary_nic_mtu|.*\.host_domain|.*\.external_ips\.v[46]` +
		`|.*\.ephemeral_ip|.*\.source_nat|.*\.filter_(hosts|ports|protocols)|.*\.filter_protocols\[\d\]\.value|.*\.code` +
		`|.*\.smbios|.*\.cpuid|.*\.subleaf|.*\.workers)$`)
	// hasDefault may be missing, but not null. Transit networks have a default in IPv4
	// only.
	hasDefault = regexp.MustCompile(`(\.guest_hv_interface|dual_stack\.v4\.transit_ips|ip_config\.value\.v4\.transit_ips` +
		`|nics\[1\]\.ip_config\.value\.transit_ips)$`)
	// freeText is any string.
	freeText = regexp.MustCompile(`\.(request_json|base64|path|vnic_name|link_name|source|target|backend_id|manufacturer` +
		`|product_name|serial_number|order\[\d\]\.id)$`)
	// components is an object with arbitrary keys.
	components = regexp.MustCompile(`^vmm_spec\.components$`)
	component  = regexp.MustCompile(`^vmm_spec\.components\.[^.]*$`)
	open       = regexp.MustCompile(`\.(pci_path|order\[\d\])$`)
)

func mayBeNull(path string) bool { return optional.MatchString(path) }

func mayBeAbsent(path string) bool {
	return optional.MatchString(path) || hasDefault.MatchString(path) || component.MatchString(path)
}

// closed reports whether an object refuses unknown members.
func closed(path string) bool {
	return strings.HasPrefix(path, "vmm_spec.") && !components.MatchString(path) && !open.MatchString(path)
}

// limitOf returns the maximum of the integer field at path.
func limitOf(path string) uint64 {
	key, _, _ := strings.Cut(path[strings.LastIndexByte(path, '.')+1:], "[")
	switch key {
	case "cpus", "bus", "device", "function", "downstream_bus", "slot", "icmp_type", "serial_number":
		return 1<<8 - 1
	case "priority", "first_port", "last_port":
		return 1<<16 - 1
	case "gen":
		return 1<<63 - 1
	case "memory_mb", "version", "guest_cid", "workers":
		return 1<<64 - 1
	default:
		return 1<<32 - 1
	}
}
