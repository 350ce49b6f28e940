package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// Ensured is the immutable content of a PUT /instance.
type Ensured struct {
	Properties json.RawMessage
	Spec       json.RawMessage
	// Target is set if the VM arrives by migration, from the server at Source. Spec is made up
	// from the replaced components, until VM.Learns.
	Target    bool
	Migration uuid.UUID
	Source    netip.AddrPort
	// replaced are the components that the source's spec has otherwise.
	replaced map[string]json.RawMessage
	// crucible holds the keys of components that support snapshots.
	crucible []string
}

// ensureRequest is the part of a PUT /instance that is used.
type ensureRequest struct {
	Properties json.RawMessage
	Init       struct {
		Method string
		Value  struct {
			Spec      json.RawMessage
			Migration uuid.UUID              `json:"migration_id"`
			Source    netip.AddrPort         `json:"src_addr"`
			Replace   map[string]replacement `json:"replace_components"`
		}
	}
}

type replacement struct {
	Component string
	Spec      json.RawMessage
}

type component struct {
	Type      string
	Component struct {
		BackendID string                                 `json:"backend_id"`
		PCIPath   *struct{ Bus, Device, Function uint8 } `json:"pci_path"`
	}
}

// crucibleType is the only component type that supports snapshots.
const crucibleType = "crucible_storage_backend"

// decodeEnsure decodes a body that conforms to the API's document.
func decodeEnsure(body json.RawMessage) (*Ensured, *dropshot.Error) {
	var r ensureRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, dropshot.BadJSON("init.value.src_addr: " + err.Error())
	}
	e := &Ensured{Properties: encode(r.Properties), Spec: r.Init.Value.Spec, Migration: r.Init.Value.Migration}
	if e.Target = r.Init.Method == "MigrationTarget"; e.Target {
		e.Source, e.replaced = r.Init.Value.Source, r.replaced()
		e.Spec = madeUp(e.replaced)
	}
	var spec struct{ Components map[string]component }
	if err := json.Unmarshal(e.Spec, &spec); err != nil {
		return nil, dropshot.BadJSON(err.Error())
	}
	if err := convertible(spec.Components); err != nil {
		return nil, dropshot.BadRequest("invalid instance spec: " + err.Error())
	}
	for name, c := range spec.Components {
		if c.Type == crucibleType {
			e.crucible = append(e.crucible, name)
		}
	}
	e.Spec = encode(e.Spec) // without white space and without the request's whole buffer
	return e, nil
}

// replaced returns the replaced components as they are in a spec.
func (r *ensureRequest) replaced() map[string]json.RawMessage {
	types := map[string]string{"CrucibleStorageBackend": crucibleType, "VirtioNetworkBackend": "virtio_network_backend",
		"MigrationFailureInjector": "migration_failure_injector"}
	components := map[string]json.RawMessage{}
	for name, c := range r.Init.Value.Replace {
		components[name] = encode(map[string]any{"type": types[c.Component], "component": c.Spec})
	}
	return components
}

// madeUp returns the spec of a VM that has only these components.
func madeUp(components map[string]json.RawMessage) json.RawMessage {
	chipset := map[string]any{"type": "i440_fx", "value": map[string]any{"enable_pcie": false}}
	board := map[string]any{"chipset": chipset, "cpus": 2, "memory_mb": 2048}
	return encode(map[string]any{"components": components, "board": board})
}

// backendSuffix maps device types to the suffix of their backend's type.
var backendSuffix = map[string]string{
	"virtio_disk":   "_storage_backend",
	"nvme_disk":     "_storage_backend",
	"virtio_nic":    "virtio_network_backend",
	"soft_npu_port": "dlpi_network_backend",
}

// convertible returns an error for a well-formed spec that describes no VM: a device
// without its backend, or two devices in one PCI slot.
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

// ensure makes a VM and waits until its objects exist, even if the client has
// disconnected.
func (s *Server) ensure(ctx context.Context, e *Ensured) Answer {
	// A VM that exists is never denied because it could not be made again.
	if err := s.check(e); err != nil && s.isFree() {
		return Refusal(dropshot.BadRequest("invalid instance spec: " + err.Error()))
	}
	v := s.create(e)
	if v == nil {
		return Refusal(&dropshot.Error{Status: http.StatusConflict, Code: "AlreadyInitialized", Message: "instance already initialized"})
	}
	return s.await(ctx, v.answerEnsure)
}

// isFree reports whether there is no VM, or one that has ended.
func (s *Server) isFree() bool {
	s.lock()
	defer s.unlock()
	return s.vm == nil || s.vm.stage == ended
}

// create makes a VM if there is none or the present one has ended; otherwise it returns
// nil.
func (s *Server) create(e *Ensured) *VM {
	s.lock()
	defer s.unlock()
	if s.vm != nil && s.vm.stage != ended || s.closed() {
		return nil
	}
	if s.vm != nil {
		s.vm.leave()
	}
	v := &VM{s: s, ensured: e, busy: true, standing: notStarted}
	if s.defects.Backwards {
		v.view.Gen = fallFrom + 1
	}
	s.vm = v
	v.machine = s.make(v)
	if e.Target {
		v.standing = startPending
		v.ShowPhase(Sync)
	} else {
		v.Publish(Creating)
	}
	v.machine.Make()
	v.advance()
	return v
}

// answerEnsure answers PUT /instance, or reports that the VM is still being made.
func (v *VM) answerEnsure() (Answer, bool) {
	var migrate any
	switch {
	case v.unmade || v.gone:
		return Refusal(dropshot.Plain(http.StatusInternalServerError, "Internal")), true
	case v.stage == initialising:
		return Answer{}, false
	case v.ensured.Target:
		migrate = map[string]any{"migration_id": v.ensured.Migration}
	}
	return Answer{Status: http.StatusCreated, Body: map[string]any{"migrate": migrate}}, true
}
