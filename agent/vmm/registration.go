package vmm

import (
	"encoding/json"
	"net/netip"

	"github.com/google/uuid"
)

// A Registration is what the agent uses of Nexus's request to register a VMM
// (InstanceEnsureBody), whatever its version. It is made by wire.Decode and is not
// changed afterwards.
type Registration struct {
	InstanceID   uuid.UUID
	PropolisAddr netip.AddrPort
	// MigrationID is set if the VMM is the target of a live migration.
	MigrationID *uuid.UUID
	// Runtime is the state that the VMM starts its life with.
	Runtime Runtime
	// Spec is the instance spec as it was sent, to the byte: Propolis gets it
	// with nothing changed but the vnic_name of its network backends and the
	// has_write_cache of its NVMe disks.
	Spec      json.RawMessage
	Hostname  string
	SiloID    uuid.UUID
	ProjectID uuid.UUID
	NICs      []NIC
	// Zvols are the delegated zvols' raw devices, as paths below /dev/zvol/rdsk.
	Zvols []string
	// PrimaryMTU is the MTU of the primary NIC in bytes; 0 for the default.
	PrimaryMTU int
	// Network is what the VMM begins with. It is kept with the state, not with the
	// registration.
	Network Network
}

// A NIC is one guest network interface of a Registration.
type NIC struct {
	// ID is also the key of the interface's backend in the spec.
	ID      uuid.UUID
	Name    string
	MAC     string
	Slot    int
	VNI     uint32
	Primary bool
}
