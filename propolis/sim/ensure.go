package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// ensured is what the simulator keeps of a PUT /instance. It never changes.
type ensured struct {
	properties json.RawMessage
	spec       json.RawMessage
	// target is set if the VM comes by migration; spec is then made up from the
	// replaced components, since the source is never asked.
	target    bool
	migration uuid.UUID
	// crucible names the components that can be snapshotted.
	crucible []string
}

// component is as much of a spec's component as the simulator looks at.
type component struct {
	Type      string `json:"type"`
	Component struct {
		BackendID string                                 `json:"backend_id"`
		PCIPath   *struct{ Bus, Device, Function uint8 } `json:"pci_path"`
	} `json:"component"`
}

// decodeEnsure reads the body of PUT /instance as the API of that version does.
func decodeEnsure(body []byte, v Version) (*ensured, *apiError) {
	shape := ensureShape
	if v.number[0] < 6 {
		shape = ensureShape5
	}
	if err := shape("", body); err != nil {
		return nil, badJSON(strings.TrimPrefix(err.Error(), "."))
	}
	var request struct {
		Properties json.RawMessage
		Init       struct {
			Method string
			Value  json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, badJSON(err.Error())
	}
	e := &ensured{properties: compact(request.Properties), target: request.Init.Method == "MigrationTarget"}
	if e.target {
		return e, e.readTarget(request.Init.Value)
	}
	return e, e.readSpec(request.Init.Value)
}

func (e *ensured) readSpec(value json.RawMessage) *apiError {
	var cold struct{ Spec json.RawMessage }
	var spec struct{ Components map[string]component }
	if err := json.Unmarshal(value, &cold); err != nil {
		return badJSON(err.Error())
	}
	if err := json.Unmarshal(cold.Spec, &spec); err != nil {
		return badJSON(err.Error())
	}
	if err := convertible(spec.Components); err != nil {
		return badRequest("invalid instance spec: " + err.Error())
	}
	for name, c := range spec.Components {
		if c.Type == crucibleType {
			e.crucible = append(e.crucible, name)
		}
	}
	e.spec = compact(cold.Spec)
	return nil
}

func (e *ensured) readTarget(value json.RawMessage) *apiError {
	var target struct {
		MigrationID       uuid.UUID `json:"migration_id"`
		ReplaceComponents map[string]struct {
			Component string
			Spec      json.RawMessage
		} `json:"replace_components"`
	}
	if err := json.Unmarshal(value, &target); err != nil {
		return badJSON(err.Error())
	}
	e.migration = target.MigrationID
	components := map[string]any{}
	for name, r := range target.ReplaceComponents {
		kind := replacementTypes[r.Component]
		if kind == crucibleType {
			e.crucible = append(e.crucible, name)
		}
		components[name] = map[string]any{"type": kind, "component": r.Spec}
	}
	chipset := map[string]any{"type": "i440_fx", "value": map[string]any{"enable_pcie": false}}
	spec, err := json.Marshal(map[string]any{"components": components,
		"board": map[string]any{"chipset": chipset, "cpus": 2, "memory_mb": 2048}})
	if err != nil {
		return badJSON(err.Error())
	}
	e.spec = spec
	return nil
}

var replacementTypes = map[string]string{
	"CrucibleStorageBackend":   crucibleType,
	"VirtioNetworkBackend":     "virtio_network_backend",
	"MigrationFailureInjector": "migration_failure_injector",
}

// backendSuffix is how the type of a device's backend must end.
var backendSuffix = map[string]string{
	"virtio_disk":   "_storage_backend",
	"nvme_disk":     "_storage_backend",
	"virtio_nic":    "virtio_network_backend",
	"soft_npu_port": "dlpi_network_backend",
}

// convertible tells why a well-formed spec describes no VM: a device without
// its backend, or two devices in one PCI slot.
func convertible(components map[string]component) error {
	slots := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(components)) {
		c := components[name]
		if suffix := backendSuffix[c.Type]; suffix != "" {
			backend, ok := components[c.Component.BackendID]
			if !ok || !strings.HasSuffix(backend.Type, suffix) {
				return fmt.Errorf("device %q: no backend %q", name, c.Component.BackendID)
			}
		}
		if p := c.Component.PCIPath; p != nil {
			slot := fmt.Sprintf("%d.%d.%d", p.Bus, p.Device, p.Function)
			if other, taken := slots[slot]; taken {
				return fmt.Errorf("devices %q and %q share PCI path %s", other, name, slot)
			}
			slots[slot] = name
		}
	}
	return nil
}

// compact returns a copy without insignificant space, so that a VM does not
// keep a request's whole buffer alive. raw has been parsed before.
func compact(raw json.RawMessage) json.RawMessage {
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		return slices.Clone(raw)
	}
	return slices.Clip(out.Bytes())
}
