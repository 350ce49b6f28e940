package wire

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/dropshot"
)

// maxGen is the greatest generation of a registration: a database's signed integer, less
// room for the generations of the VMM's own records, without which none of them could be
// sent, not even its end. At a change every 10 ms the room lasts for more than a year.
const maxGen = 1<<63 - 1 - 1<<32

// consistent checks what a schema cannot say.
func consistent(c dropshot.Checked, r *vmm.Registration) *Error {
	if bad := dialable(c, r.PropolisAddr, "propolis_addr"); bad != nil {
		return bad
	}
	if r.Runtime.Gen > maxGen {
		return c.Refuse(fmt.Sprintf("an integer from 1 to %d", uint64(maxGen)), "vmm_runtime", "gen")
	}
	backends, bad := networkBackends(c)
	if bad != nil {
		return bad
	}
	return nicsFit(c, r.NICs, backends)
}

// dialable checks that an address identifies one server: an unspecified or multicast
// address does not.
func dialable(c dropshot.Checked, addr netip.AddrPort, at ...string) *Error {
	switch ip := addr.Addr().Unmap(); {
	case addr.Port() == 0:
		return c.Refuse("a port other than 0", at...)
	case ip.IsUnspecified(), ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return c.Refuse("the address of one host", at...)
	}
	return nil
}

// networkBackend is the kind of component behind a guest's NIC.
const networkBackend = "virtio_network_backend"

// networkBackends lists the network backends by key. Keys that are UUIDs are compared as
// such, so two spellings of one are a duplicate.
func networkBackends(c dropshot.Checked) (map[string]bool, *Error) {
	seen, backends := map[string]bool{}, map[string]bool{}
	components := child(child(c.Tree, "vmm_spec"), "components")
	for _, key := range slices.Sorted(maps.Keys(components)) {
		spelling := key
		if id, err := dropshot.ParseUUID(key); err == nil {
			key = id.String()
		}
		if seen[key] {
			bad := c.Refuse("a key once", "vmm_spec", "components", spelling)
			bad.Got = "another spelling of it too"
			return nil, bad
		}
		seen[key] = true
		backends[key] = child(components, spelling)["type"] == networkBackend
	}
	return backends, nil
}

// child returns the object that is a member of an object.
func child(object any, key string) map[string]any {
	members, _ := object.(map[string]any)
	inner, _ := members[key].(map[string]any)
	return inner
}

// nicsFit checks that every NIC is unique and has a backend in the spec, which the
// reference checks only when it starts the VMM.
func nicsFit(c dropshot.Checked, nics []vmm.NIC, backends map[string]bool) *Error {
	ids, slots, primary := map[uuid.UUID]bool{}, map[int]bool{}, false
	for i, n := range nics {
		at := func(key, want string) *Error {
			return c.Refuse(want, "local_config", "nics", strconv.Itoa(i), key)
		}
		switch {
		case ids[n.ID]:
			return at("id", "an id that no other NIC has")
		case slots[n.Slot]:
			return at("slot", "a slot that no other NIC has")
		case !backends[n.ID.String()]:
			return at("id", "the key of a "+networkBackend+" in vmm_spec.components")
		case primary && n.Primary:
			return at("primary", "one primary NIC at most")
		}
		ids[n.ID], slots[n.Slot] = true, true
		primary = primary || n.Primary
	}
	return nil
}
