package propolis

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/google/uuid"
)

// Metadata identifies the VM's owner and host. Propolis labels its statistics with it.
type Metadata struct {
	SiloID       uuid.UUID `json:"silo_id"`
	ProjectID    uuid.UUID `json:"project_id"`
	SledID       uuid.UUID `json:"sled_id"`
	SledSerial   string    `json:"sled_serial"`
	SledRevision uint32    `json:"sled_revision"`
	SledModel    string    `json:"sled_model"`
}

// Properties describe a VM to people. ID is the id of the instance, not of the VMM.
type Properties struct {
	ID          uuid.UUID `json:"id"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Metadata    Metadata  `json:"metadata"`
}

// An EnsureRequest describes the VM to make.
type EnsureRequest struct {
	Properties Properties
	// Spec is the instance spec with its VNIC names filled in (see SetVNICs). It is sent
	// unchanged, but for the has_write_cache of NVMe disks: API versions before 6 do not
	// have it, and a spec of an older sled API does not either.
	Spec json.RawMessage
	// Migration is set if the VM arrives by live migration from another sled. Then
	// Propolis takes the spec from the source, and from Spec only the Crucible and
	// network backends, which differ between hosts.
	Migration *MigrationSource
}

// A MigrationSource is the VM that a migration target takes over.
type MigrationSource struct {
	ID uuid.UUID
	// SrcAddr is the address of the source's Propolis server.
	SrcAddr netip.AddrPort
}

// replaceable maps the component types that a migration target provides to their names
// in replace_components.
var replaceable = map[string]string{
	"crucible_storage_backend": "CrucibleStorageBackend",
	networkBackend:             "VirtioNetworkBackend",
}

// encode returns the request body for an API version. Spec's bytes are copied, since
// json.Marshal would reformat them.
func (r EnsureRequest) encode(version string) ([]byte, error) {
	properties, err := json.Marshal(r.Properties)
	if err != nil {
		return nil, fmt.Errorf("encode properties: %w", err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"properties":%s,"init":`, properties)
	if r.Migration == nil {
		if !json.Valid(r.Spec) {
			return nil, fmt.Errorf("read spec: %w", errNotJSON)
		}
		fmt.Fprintf(&b, `{"method":"Spec","value":{"spec":%s}}}`, fitWriteCaches(r.Spec, version))
		return b.Bytes(), nil
	}
	source, err := json.Marshal(r.Migration.SrcAddr)
	if err != nil {
		return nil, fmt.Errorf("encode source address: %w", err)
	}
	fmt.Fprintf(&b, `{"method":"MigrationTarget","value":{"migration_id":"%s","src_addr":%s,"replace_components":{`,
		r.Migration.ID, source)
	if err := writeReplacements(&b, r.Spec); err != nil {
		return nil, err
	}
	b.WriteString("}}}}")
	return b.Bytes(), nil
}

func writeReplacements(b *bytes.Buffer, spec json.RawMessage) error {
	components, err := componentsOf(spec)
	if err != nil {
		return err
	}
	comma := ""
	for _, c := range components {
		name, ok := replaceable[c.kind]
		if !ok {
			continue
		}
		fmt.Fprintf(b, `%s%s:{"component":%q,"spec":%s}`, comma, c.rawKey, name, spec[c.body.start:c.body.end])
		comma = ","
	}
	return nil
}
