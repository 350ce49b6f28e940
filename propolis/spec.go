package propolis

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/sledagent/sledagent/internal/plain"
)

// networkBackend is the type of components that use a datalink of this host.
const networkBackend = "virtio_network_backend"

var errNotJSON = errors.New("not JSON")

// SetVNICs returns a copy of spec with the vnic_name of network backends set: vnic maps
// component keys to names. Only the host knows which of its datalinks serves an
// interface. Every other byte stays unchanged, so that nothing unknown to this program is
// lost between Nexus and Propolis. If a key of vnic is not a virtio_network_backend in
// spec, the error names the component.
func SetVNICs(spec json.RawMessage, vnic map[string]string) (json.RawMessage, error) {
	components, err := componentsOf(spec)
	if err != nil {
		return nil, err
	}
	out := make(json.RawMessage, 0, len(spec)+32*len(vnic))
	copied, left := 0, maps.Clone(vnic)
	for _, c := range components {
		name, ok := left[c.key]
		if !ok {
			continue
		}
		delete(left, c.key)
		at, err := c.vnicName(spec)
		if err != nil {
			return nil, fmt.Errorf("set vnic_name of component %q: %w", c.key, err)
		}
		value, err := quote(name)
		if err != nil {
			return nil, fmt.Errorf("set vnic_name of component %q: %w", c.key, err)
		}
		out = append(append(out, spec[copied:at.start]...), value...)
		copied = at.end
	}
	if len(left) > 0 {
		return nil, fmt.Errorf("set vnic_name of component %q: no such component in the spec",
			slices.Min(slices.Collect(maps.Keys(left))))
	}
	return append(out, spec[copied:]...), nil
}

// A component is one entry of a spec's components.
type component struct {
	key    string
	rawKey []byte
	kind   string
	body   span
}

func componentsOf(spec []byte) ([]component, error) {
	all, err := whole(spec)
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	at, err := child(spec, all, "components")
	if err != nil {
		return nil, fmt.Errorf("read spec: %w", err)
	}
	entries, err := members(spec, at)
	if err != nil {
		return nil, fmt.Errorf("read components of the spec: %w", err)
	}
	list := make([]component, 0, len(entries))
	for _, m := range entries {
		c, err := readComponent(spec, m)
		if err != nil {
			return nil, fmt.Errorf("read component %q: %w", m.key, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func readComponent(spec []byte, m member) (component, error) {
	c := component{key: m.key, rawKey: m.rawKey}
	kind, err := child(spec, m.value, "type")
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(spec[kind.start:kind.end], &c.kind); err != nil {
		return c, fmt.Errorf("read type: %w", err)
	}
	c.body, err = child(spec, m.value, "component")
	return c, err
}

// vnicName returns the span of a network backend's vnic_name.
func (c component) vnicName(spec []byte) (span, error) {
	if c.kind != networkBackend {
		return span{}, fmt.Errorf("it is a %s, want a %s", plain.Line(c.kind, 64), networkBackend)
	}
	return child(spec, c.body, "vnic_name")
}

// child returns the value at one key of the object at s.
func child(text []byte, s span, key string) (span, error) {
	list, err := members(text, s)
	if err != nil {
		return span{}, err
	}
	for _, m := range list {
		if m.key == key {
			return m.value, nil
		}
	}
	return span{}, fmt.Errorf("no key %q", key)
}

func quote(s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%q is not UTF-8", s)
	}
	return json.Marshal(s)
}
