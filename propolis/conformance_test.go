package propolis

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/internal/contract"
)

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(contract.Path(t, filepath.Join("fixtures", name)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestConformsMonitor(t *testing.T) {
	t.Parallel()
	for _, path := range contract.Fixtures(t, "pp_monitor_*.json") {
		name := filepath.Base(path)
		if name == "pp_monitor_request.json" {
			continue
		}
		body := fixture(t, name)
		o, err := readObservation(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wire := func(m *Migration) any {
			if m == nil {
				return nil
			}
			return map[string]any{"id": m.ID, "state": m.Phase}
		}
		again, err := json.Marshal(map[string]any{"gen": o.Gen, "state": o.State,
			"migration": map[string]any{"migration_in": wire(o.MigrationIn), "migration_out": wire(o.MigrationOut)}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decode(t, body), decode(t, again)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestConformsErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		want   Kind
	}{
		"pp_error_no_instance_424.json":         {424, NoInstance},
		"pp_error_no_instance_410.json":         {410, NoInstance},
		"pp_error_already_initialized_409.json": {409, AlreadyInitialized},
		"pp_error_forbidden_reboot_403.json":    {403, Refused},
	} {
		body := readErrorBody(fixture(t, name))
		if got := errorKind(tc.status, body); got != tc.want || !body.whole {
			t.Errorf("%s: got %q of %+v, want %q", name, got, body, tc.want)
		}
	}
}

type wireEnsure struct {
	Properties Properties
	Init       struct {
		Value struct {
			Spec    json.RawMessage
			ID      *uuid.UUID     `json:"migration_id"`
			Src     netip.AddrPort `json:"src_addr"`
			Replace map[string]struct {
				Component string
				Spec      json.RawMessage
			} `json:"replace_components"`
		}
	}
}

// request returns the request that w was made from. A migration's body has no spec, so
// one is made that has the same replacements.
func (w wireEnsure) request(t *testing.T) EnsureRequest {
	t.Helper()
	v := w.Init.Value
	if v.ID == nil {
		return EnsureRequest{Properties: w.Properties, Spec: v.Spec}
	}
	kinds := map[string]string{"CrucibleStorageBackend": "crucible_storage_backend",
		"VirtioNetworkBackend": "virtio_network_backend"}
	components := map[string]any{"com1": map[string]any{"type": "serial_port", "component": struct{}{}}}
	for key, c := range v.Replace {
		components[key] = map[string]any{"type": kinds[c.Component], "component": c.Spec}
	}
	spec, err := json.Marshal(map[string]any{"components": components})
	if err != nil {
		t.Fatal(err)
	}
	return EnsureRequest{Properties: w.Properties, Spec: spec, Migration: &MigrationSource{ID: *v.ID, SrcAddr: v.Src}}
}

// Each recorded request is encoded again from its source.
func TestConformsEnsure(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pp_ensure_spec.json", "pp_ensure_migration_target.json"} {
		body := fixture(t, name)
		var wire wireEnsure
		if err := json.Unmarshal(body, &wire); err != nil {
			t.Fatal(err)
		}
		got, err := wire.request(t).encode(DefaultAPIVersion)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(decode(t, body), decode(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestConformsAnswersAndActions(t *testing.T) {
	t.Parallel()
	for action, name := range map[Action]string{Run: "run", Stop: "stop", Reboot: "reboot"} {
		if got := strings.TrimSpace(string(fixture(t, "pp_state_put_"+name+".json"))); got != quoted(string(action)) {
			t.Errorf("action %s is %s on the wire", action, got)
		}
	}
}
