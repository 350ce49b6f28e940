package wire

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strconv"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Decode reads and checks the body of a registration (InstanceEnsureBody). The
// error is an *Error. The Registration shares no memory with the body.
func Decode(body []byte) (*Registration, error) {
	root, bad := parse(body)
	if bad == nil {
		bad = ensureBody.check(root)
	}
	if bad == nil {
		bad = consistent(root)
	}
	if bad != nil {
		return nil, bad
	}
	return registration(root, body), nil
}

// A Target is the state that Nexus wants a VMM to be in.
type Target string

const (
	Running         Target = "running"
	Stopped         Target = "stopped"
	Reboot          Target = "reboot"
	MigrationTarget Target = "migration_target"
)

// A StateRequest is a request to bring a VMM into a state (VmmPutStateBody).
type StateRequest struct {
	Target Target
	// Source is where the migration's source serves, if Target is MigrationTarget.
	Source netip.AddrPort
}

// DecodeState reads and checks the body of a request for a state. The error is
// an *Error.
func DecodeState(body []byte) (StateRequest, error) {
	root, bad := parse(body)
	if bad == nil {
		bad = putStateBody.check(root)
	}
	if bad != nil {
		return StateRequest{}, bad
	}
	state := root.get("state")
	req := StateRequest{Target: Target(state.get("type").text)}
	if req.Target != MigrationTarget {
		return req, nil
	}
	addr := state.get("value").get("src_propolis_addr")
	req.Source = addr.socket()
	if req.Source.Port() == 0 {
		return StateRequest{}, addr.refuse("a port other than 0").in("src_propolis_addr").in("value").in("state")
	}
	return req, nil
}

// DecodeSnapshot reads and checks the body of a request for a snapshot and
// returns the snapshot's id. The error is an *Error.
func DecodeSnapshot(body []byte) (uuid.UUID, error) {
	root, bad := parse(body)
	if bad == nil {
		bad = snapshotBody.check(root)
	}
	if bad != nil {
		return uuid.Nil, bad
	}
	return root.get("snapshot_id").uuid(), nil
}

// registration takes from a body that was checked what the agent uses.
func registration(root *node, body []byte) *Registration {
	runtime, local, meta := root.get("vmm_runtime"), root.get("local_config"), root.get("metadata")
	spec := root.get("vmm_spec")
	r := &Registration{
		InstanceID:   root.get("instance_id").uuid(),
		PropolisAddr: root.get("propolis_addr").socket(),
		Runtime:      vmm.Runtime{State: vmm.WireState(runtime.get("state").text), Gen: runtime.get("gen").uint()},
		Spec:         json.RawMessage(bytes.Clone(body[spec.from:spec.to])),
		Hostname:     local.get("hostname").text,
		SiloID:       meta.get("silo_id").uuid(),
		ProjectID:    meta.get("project_id").uuid(),
		PrimaryMTU:   int(local.get("primary_nic_mtu").uint()),
	}
	r.Runtime.Updated, _ = parseTime(runtime.get("time_updated").text)
	if m := root.get("migration_id"); m != nil {
		id := m.uuid()
		r.MigrationID = &id
	}
	for _, nic := range local.get("nics").items() {
		r.NICs = append(r.NICs, nic.nic())
	}
	for _, zvol := range local.get("delegated_zvols").items() {
		r.Zvols = append(r.Zvols, zvol.device())
	}
	return r
}

// The readers below are for values that a rule was checked on; the errors that
// they drop cannot occur.

func (n *node) uuid() uuid.UUID {
	id, _ := parseUUID(n.text)
	return id
}

func (n *node) socket() netip.AddrPort {
	a, _ := parseSocket(n.text)
	return a
}

// uint is 0 for a value that is not there.
func (n *node) uint() uint64 {
	if n == nil {
		return 0
	}
	v, _ := strconv.ParseUint(n.text, 10, 64)
	return v
}

func (n *node) nic() NIC {
	mac, _ := parseMAC(n.get("mac").text)
	return NIC{
		ID:      n.get("id").uuid(),
		Name:    n.get("name").text,
		MAC:     mac,
		Slot:    int(n.get("slot").uint()),
		VNI:     uint32(n.get("vni").uint()),
		Primary: n.get("primary").text == "true",
	}
}

// device is a zvol's raw device: the reference hands out rdsk rather than dsk,
// which would add a second cache.
func (n *node) device() string {
	dataset := "local_storage_unencrypted"
	if n.get("type").text == zvolEncrypted {
		dataset = "crypt/local_storage"
	}
	return "/dev/zvol/rdsk/oxp_" + n.get("zpool_id").uuid().String() + "/" + dataset + "/" +
		n.get("dataset_id").uuid().String() + "/vol"
}
