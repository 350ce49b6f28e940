package wire

import "github.com/google/uuid"

// consistent checks what no field of a registration can be wrong about alone.
func consistent(root *node) *Error {
	if addr := root.get("propolis_addr"); addr.socket().Port() == 0 {
		return addr.refuse("a port other than 0").in("propolis_addr")
	}
	backends, err := networkBackends(root.get("vmm_spec").get("components"))
	if err != nil {
		return err.in("components").in("vmm_spec")
	}
	return nicsFit(root.get("local_config").get("nics").items(), backends).in("local_config")
}

// networkBackends lists the network backends by key. Keys that are UUIDs are
// equal when the UUIDs are, so two spellings of one are a key given twice.
func networkBackends(components *node) (map[string]bool, *Error) {
	seen, backends := map[string]bool{}, map[string]bool{}
	for i := range components.kids {
		c := &components.kids[i]
		key := c.key
		if id, err := parseUUID(key); err == nil {
			key = id.String()
		}
		if seen[key] {
			return nil, (&Error{Want: "a key once", Got: "another spelling of it too", Offset: int64(c.to)}).in(c.key)
		}
		seen[key] = true
		backends[key] = c.get("type").text == networkBackend
	}
	return backends, nil
}

// nicsFit checks that every NIC is a NIC of its own and has a backend in the
// spec, which the reference finds out only when it starts the VMM.
func nicsFit(nics []node, backends map[string]bool) *Error {
	ids, slots, primary := map[uuid.UUID]bool{}, map[uint64]bool{}, false
	for i := range nics {
		at := func(key, want string) *Error { return nics[i].get(key).refuse(want).in(key).item(i).in("nics") }
		id, slot := nics[i].get("id").uuid(), nics[i].get("slot").uint()
		switch {
		case ids[id]:
			return at("id", "an id that no other NIC has")
		case slots[slot]:
			return at("slot", "a slot that no other NIC has")
		case !backends[id.String()]:
			return at("id", "the key of a "+networkBackend+" in vmm_spec.components")
		case primary && nics[i].get("primary").text == "true":
			return at("primary", "one primary NIC at most")
		}
		ids[id], slots[slot] = true, true
		primary = primary || nics[i].get("primary").text == "true"
	}
	return nil
}
