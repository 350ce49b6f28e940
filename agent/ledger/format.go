package ledger

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// The types on disk are separate from the agent's, whose names may change. Types with
// the same fields in the same order are converted into each other, so that a field
// added to only one of them does not compile.

// stateDoc is a state on disk. Deadlines are times on the boot clock.
type stateDoc struct {
	Boot     string       `json:"boot"`
	Phase    string       `json:"phase"`
	Since    time.Time    `json:"since"`
	Record   recordDoc    `json:"record"`
	Cold     bool         `json:"cold,omitempty"`
	Src      string       `json:"src,omitempty"`
	Stop     *stopDoc     `json:"stop,omitempty"`
	Deadline *deadlineDoc `json:"deadline,omitempty"`
	Epoch    uint64       `json:"epoch"`
	Outcome  string       `json:"outcome,omitempty"`
	Reason   string       `json:"reason,omitempty"`
	Disowned bool         `json:"disowned,omitempty"`
	Propolis propolisDoc  `json:"propolis"`
	Zone     Zone         `json:"zone"`
	Identity Identity     `json:"identity"`
	Ports    *portsDoc    `json:"ports,omitempty"`
	// The following fields are optional and saved when there is time. They save the
	// next process work and are shown by status requests.
	Acked   uint64      `json:"acked_gen,omitempty"`
	Removal *removalDoc `json:"removal,omitempty"`
	// RebootGrace is the maximum distance of a reboot's deadline.
	RebootGrace time.Duration `json:"reboot_grace_ns,omitempty"`
}

type recordDoc struct {
	VMM          runtimeDoc    `json:"vmm_state"`
	MigrationIn  *migrationDoc `json:"migration_in"`
	MigrationOut *migrationDoc `json:"migration_out"`
}

type runtimeDoc struct {
	State   vmm.WireState `json:"state"`
	Gen     uint64        `json:"gen"`
	Updated time.Time     `json:"time_updated"`
}

type migrationDoc struct {
	ID      uuid.UUID          `json:"migration_id"`
	State   vmm.MigrationState `json:"state"`
	Gen     uint64             `json:"gen"`
	Updated time.Time          `json:"time_updated"`
}

func newRecordDoc(r vmm.Record) recordDoc {
	return recordDoc{runtimeDoc(r.VMM), (*migrationDoc)(r.MigrationIn), (*migrationDoc)(r.MigrationOut)}
}

func (d recordDoc) record() vmm.Record {
	return vmm.Record{VMM: vmm.Runtime(d.VMM), MigrationIn: (*vmm.Migration)(d.MigrationIn), MigrationOut: (*vmm.Migration)(d.MigrationOut)}
}

type stopDoc struct {
	By        vmm.Who       `json:"by"`
	Requested time.Time     `json:"requested"`
	Grace     time.Duration `json:"grace_ns"`
	Soft      time.Duration `json:"soft_ns,omitempty"`
	Asked     bool          `json:"asked,omitempty"`
	Acked     time.Time     `json:"acked,omitzero"`
}

type deadlineDoc struct {
	For vmm.Purpose `json:"for"`
	// At is in nanoseconds since the host booted.
	At time.Duration `json:"at_ns"`
}

type propolisDoc struct {
	State vmm.PropolisState `json:"state"`
	Gen   uint64            `json:"gen"`
	At    time.Time         `json:"at"`
}

type removalDoc struct {
	Begun     time.Time  `json:"begun"`
	Rung      string     `json:"rung"`
	ZoneState string     `json:"zone_state"`
	Attempt   int        `json:"attempt"`
	LastError string     `json:"last_error,omitempty"`
	Gone      *time.Time `json:"gone,omitempty"`
}

// parseOutcome parses an outcome's name.
func parseOutcome(name string) (vmm.Outcome, bool) {
	for _, o := range []vmm.Outcome{vmm.Undecided, vmm.Destroyed, vmm.Failed} {
		if o.String() == name {
			return o, true
		}
	}
	return vmm.Undecided, false
}

// registrationDoc is a registration on disk. Its names never change. Spec is bytes, not
// JSON, because an encoder would change its white space.
type registrationDoc struct {
	InstanceID   uuid.UUID      `json:"InstanceID"`
	PropolisAddr netip.AddrPort `json:"PropolisAddr"`
	MigrationID  *uuid.UUID     `json:"MigrationID"`
	Runtime      runtimeDoc     `json:"Runtime"`
	Hostname     string         `json:"Hostname"`
	SiloID       uuid.UUID      `json:"SiloID"`
	ProjectID    uuid.UUID      `json:"ProjectID"`
	NICs         []nicDoc       `json:"NICs"`
	Zvols        []string       `json:"Zvols"`
	PrimaryMTU   int            `json:"PrimaryMTU"`
	Spec         []byte         `json:"Spec"`
}

type nicDoc struct {
	ID      uuid.UUID `json:"ID"`
	Name    string    `json:"Name"`
	MAC     string    `json:"MAC"`
	Slot    int       `json:"Slot"`
	VNI     uint32    `json:"VNI"`
	Primary bool      `json:"Primary"`
}

func newRegistrationDoc(r *vmm.Registration, spec []byte) registrationDoc {
	d := registrationDoc{InstanceID: r.InstanceID, PropolisAddr: r.PropolisAddr, MigrationID: r.MigrationID,
		Runtime: runtimeDoc(r.Runtime), Hostname: r.Hostname, SiloID: r.SiloID, ProjectID: r.ProjectID, Zvols: r.Zvols,
		PrimaryMTU: r.PrimaryMTU, Spec: spec}
	for _, n := range r.NICs {
		d.NICs = append(d.NICs, nicDoc(n))
	}
	return d
}

func encodeRegistration(r *vmm.Registration) ([]byte, error) {
	if r == nil {
		return nil, errors.New("no registration in the entry or on disk")
	}
	return json.Marshal(newRegistrationDoc(r, r.Spec))
}

// Size returns the size of a registration in the ledger, in bytes.
func Size(r *vmm.Registration) int {
	data, _ := json.Marshal(newRegistrationDoc(r, []byte{})) // it was decoded from JSON, so it can be encoded
	return len(data) + base64.StdEncoding.EncodedLen(len(r.Spec))
}

func decodeRegistration(data []byte) (*vmm.Registration, error) {
	var d registrationDoc
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	if !d.PropolisAddr.IsValid() || !json.Valid(d.Spec) {
		return nil, fmt.Errorf("registration: invalid address %s or spec", d.PropolisAddr)
	}
	r := &vmm.Registration{InstanceID: d.InstanceID, PropolisAddr: d.PropolisAddr, MigrationID: d.MigrationID,
		Runtime: vmm.Runtime(d.Runtime), Hostname: d.Hostname, SiloID: d.SiloID, ProjectID: d.ProjectID, Zvols: d.Zvols,
		PrimaryMTU: d.PrimaryMTU, Spec: d.Spec}
	for _, n := range d.NICs {
		r.NICs = append(r.NICs, vmm.NIC(n))
	}
	return r, nil
}
