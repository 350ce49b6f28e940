package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

// sledConfig returns an OmicronSledConfig in the shape of the API's version 51.
func sledConfig(generation any, disposition string) string {
	return fmt.Sprintf(`{"generation":%v,"datasets":{},"disks":{},"zones":{},"measurements":[],"remove_mupdate_override":null,`+
		`"host_phase_2":{"slot_a":{"type":"current_contents"},"slot_b":{"type":"current_contents"}},"update_disposition":%q}`,
		generation, disposition)
}

func fakeSled() api.Sled {
	return api.Sled{Addr: netip.MustParseAddrPort("127.0.0.1:12345"), CPUFamily: "amd_turin", Threads: 256, Memory: 1 << 40, Reservoir: 1 << 39,
		VMMs: 3, Loaded: true, Disposition: disposition.State{Config: &disposition.Config{Generation: 7, Disposition: disposition.Evacuating,
			APIVersion: 53, Received: time.Now(), Body: []byte(sledConfig(7, "evacuating"))}}}
}

func inventory(t *testing.T, s *site, version string) map[string]any {
	t.Helper()
	r := s.do("GET", "/inventory", "", "api-version", version)
	var all map[string]any
	if err := json.Unmarshal([]byte(r.body), &all); err != nil || r.StatusCode != 200 {
		t.Fatalf("%d %s: %v", r.StatusCode, r.body, err)
	}
	return all
}

func TestInventory(t *testing.T) {
	t.Parallel()
	a := &fakeAgent{sled: fakeSled()}
	s := serve(t, a, api.Options{})
	got := inventory(t, s, "54.0.0")
	status := map[string]any{"num_registered_vmms": 3.0, "update_disposition": map[string]any{"disposition": "known", "value": "evacuating"}}
	for name, want := range map[string]any{
		"sled_id": propolisID.String(), "sled_agent_address": "[::ffff:127.0.0.1]:12345", "sled_role": "gimlet",
		"baseboard_id":            map[string]any{"part_number": "913-0000019", "serial_number": "BRM42220031"},
		"usable_hardware_threads": 256.0, "usable_physical_ram": float64(1 << 40), "reservoir_size": float64(1 << 39),
		"cpu_family": "amd_turin", "instance_manager_status": status,
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if config, ok := got["ledgered_sled_config"].(map[string]any); !ok || config["generation"] != 7.0 {
		t.Errorf("ledgered_sled_config is %v", got["ledgered_sled_config"])
	}
}

// The status of the instance manager is newer than the inventory, and a sled configuration
// is shown to a Nexus that can read its shape.
func TestInventoryOfOlderVersions(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{sled: fakeSled()}, api.Options{})
	for version, want := range map[string]struct{ status, config bool }{
		"54.0.0": {true, true}, "53.0.0": {true, true}, "52.0.0": {false, true}, "51.0.0": {false, true},
		"50.0.0": {false, false}, "49.0.0": {false, false}, "48.0.0": {false, false}, "1.0.0": {false, false},
	} {
		got := inventory(t, s, version)
		if _, status := got["instance_manager_status"]; status != want.status {
			t.Errorf("version %s: instance_manager_status is %v", version, got["instance_manager_status"])
		}
		if config := got["ledgered_sled_config"]; (config != nil) != want.config {
			t.Errorf("version %s: ledgered_sled_config is %v", version, config)
		}
	}
}

// Before the ledger is loaded, the VMMs cannot be counted.
func TestInventoryWhileLoading(t *testing.T) {
	t.Parallel()
	sled := fakeSled()
	sled.Loaded, sled.VMMs = false, 0
	got := inventory(t, serve(t, &fakeAgent{sled: sled}, api.Options{}), "53.0.0")
	want := map[string]any{"num_registered_vmms": 0.0, "update_disposition": map[string]any{"disposition": "config_not_available"}}
	if diff := cmp.Diff(want, got["instance_manager_status"]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ version, body, want string }{
		{"54.0.0", sledConfig(7, "evacuating"), "configure:7:evacuating"},
		{"49.0.0", sledConfig(9223372036854775807, "available"), "configure:9223372036854775807:available"},
		// Older configurations have no disposition, and of an unknown member nothing follows.
		{"48.0.0", sledConfig(8, "evacuating"), "configure:8:available"},
		{"48.0.0", strings.Replace(sledConfig(9, ""), `:""`, ":5", 1), "configure:9:available"},
		{"13.0.0", strings.Replace(sledConfig(9, ""), `:[]`, ":null", 1) + " and ignored text", "configure:9:available"},
		{"1.0.0", `{"generation":1,"datasets":{},"disks":{},"zones":{}}`, "configure:1:available"},
	} {
		a := &fakeAgent{}
		r := serve(t, a, api.Options{}).do("PUT", "/omicron-config", v.body, "api-version", v.version)
		if r.StatusCode != 204 || r.body != "" || a.called() != v.want {
			t.Errorf("version %s: %d %s, called %q, want %q", v.version, r.StatusCode, r.body, a.called(), v.want)
		}
	}
}

func TestConfigureRefuses(t *testing.T) {
	t.Parallel()
	without := func(name string) string {
		var doc map[string]any
		if err := json.Unmarshal([]byte(sledConfig(7, "available")), &doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, name)
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for body, want := range map[string]string{
		"":     "unable to parse JSON body",
		"null": "want an object", "[]": "unable to parse JSON body", "{": "unable to parse JSON body",
		without("generation"):                          "generation: want an integer",
		without("zones"):                               "zones: want an object, got nothing",
		without("measurements"):                        "measurements: want a list",
		without("update_disposition"):                  `update_disposition: want one of ["available" "evacuating"], got nothing`,
		sledConfig(`"7"`, "available"):                 "generation: want an integer",
		sledConfig(-1, "available"):                    "generation: want an integer",
		sledConfig(1.5, "available"):                   "generation: want an integer",
		sledConfig("9223372036854775808", "available"): "generation: want an integer",
		sledConfig(7, "Evacuating"):                    `update_disposition: want one of ["available" "evacuating"], got "Evacuating"`,
		sledConfig(7, strings.Repeat("x", 999)):        "update_disposition: want",
		strings.Replace(sledConfig(7, "available"), `"update_`, `"Update_`, 1):                 "update_disposition: want",
		strings.Replace(sledConfig(7, "available"), `"disks":{}`, `"disks":[]`, 1):             "disks: want an object",
		strings.Replace(sledConfig(7, "available"), `"zones":{}`, "\"zones\":{\"\xff\":1}", 1): "invalid UTF-8",
	} {
		a := &fakeAgent{}
		r := serve(t, a, api.Options{}).do("PUT", "/omicron-config", body, "api-version", "54.0.0")
		if r.StatusCode == 204 {
			t.Errorf("%.300s is accepted", body)
			continue
		}
		if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, want) || len(message) > 300 {
			t.Errorf("%.80s: %d %q, want %q", body, r.StatusCode, message, want)
		}
		if a.called() != "" {
			t.Errorf("%.80s: called %s", body, a.called())
		}
	}
	for err, want := range map[error]int{&disposition.StaleError{Have: 8, Got: 7}: 400, errors.New("no space left on device"): 503} {
		r := serve(t, &fakeAgent{err: err}, api.Options{}).do("PUT", "/omicron-config", sledConfig(7, "available"), "api-version", "54.0.0")
		if _, message := r.failed(t); r.StatusCode != want || !strings.Contains(message, err.Error()) {
			t.Errorf("%v: %d %s", err, r.StatusCode, message)
		}
	}
}

// Nexus decides by the codes of these answers.
func TestCodesOfAnEvacuatedSled(t *testing.T) {
	t.Parallel()
	const evacuating, loading = "SLED_EVACUATING", "SLED_CONFIG_NOT_YET_LOADED"
	for _, v := range []struct {
		reason             vmm.Reason
		method, path, body string
		want               string
	}{
		{vmm.Evacuating, "PUT", vmmURL, newBody(), evacuating},
		{vmm.Evacuating, "PUT", stateURL, stateBody("running"), evacuating},
		{vmm.Loading, "PUT", vmmURL, newBody(), loading},
		{vmm.Loading, "PUT", stateURL, stateBody("running"), ""},
		{vmm.Loading, "PUT", stateURL, stateBody("stopped"), ""},
		{vmm.Loading, "GET", stateURL, "", ""},
		{vmm.Loading, "DELETE", vmmURL, "", ""},
		{vmm.Draining, "PUT", vmmURL, newBody(), ""},
	} {
		r := serve(t, &fakeAgent{err: &vmm.Refusal{Reason: v.reason}}, api.Options{}).do(v.method, v.path, v.body)
		if code, _ := r.failed(t); r.StatusCode != 503 || code != v.want {
			t.Errorf("%s %s while %s: %d %q, want 503 %q", v.method, v.path, v.reason, r.StatusCode, code, v.want)
		}
	}
}
