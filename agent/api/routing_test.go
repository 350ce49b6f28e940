package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/api"
)

func TestRouting(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	id := propolisID.String()
	for _, tt := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/zones", 200, `["oxz_a","oxz_b"]`},
		{"GET", "/zones/", 200, "oxz_a"},
		{"GET", "//zones", 200, "oxz_a"},
		{"GET", "/%7Aones", 200, "oxz_a"},
		{"GET", "/zones?later=1", 200, "oxz_a"},
		{"GET", "/vmms/" + id + "/state", 200, "stopping"},
		{"GET", "//vmms//" + id + "//state//", 200, "stopping"},
		{"GET", "/vmms/" + strings.ToUpper(id) + "/state", 200, "stopping"},
		{"GET", "/vmms/%65" + id[1:] + "/%73tate", 200, "stopping"},
		{"GET", "/", 404, "Not Found"},
		{"GET", "/Zones", 404, "Not Found"},
		{"GET", "/zones/x", 404, "Not Found"},
		{"GET", "/zones%2F", 404, "Not Found"},
		{"GET", "/vmms", 404, "Not Found"},
		{"GET", "/vmms/" + id + "/states", 404, "Not Found"},
		{"GET", "/vmms/" + id + "%2Fstate", 405, "Method Not Allowed"},
		{"PUT", "/vmms/" + id + "%2Fstate", 400, "propolis_id: want a UUID"},
		{"GET", "/disks", 404, "Not Found"},
		{"GET", "/zones/.", 400, "dot-segments are not permitted"},
		{"GET", "/../zones", 400, "dot-segments are not permitted"},
		{"GET", "/x/%2e%2e/zones", 400, "dot-segments are not permitted"},
		{"GET", "/%ff", 400, "not UTF-8"},
		{"POST", "/zones", 405, "Method Not Allowed"},
		{"HEAD", "/zones", 405, ""},
		{"OPTIONS", "/zones", 405, "Method Not Allowed"},
		{"BREW", "/zones", 405, "Method Not Allowed"},
		{"echo_route_not_found", "/zones", 405, "Method Not Allowed"},
		{"BREW", "/nowhere", 404, "Not Found"},
		{"GET", "/vmms/x/state", 400, `propolis_id: want a UUID, got "x"`},
		{"GET", "/vmms/" + strings.ReplaceAll(id, "-", "") + "/state", 400, "want a UUID"},
		{"GET", "/vmms/{" + id + "}/state", 400, "want a UUID"},
		{"GET", "/vmms/urn:uuid:" + id + "/state", 400, "want a UUID"},
		{"GET", "/vmms/" + id + "0/state", 400, "want a UUID"},
		{"GET", "/vmms/" + strings.Repeat("9", 9000) + "/state", 400, "want a UUID"},
		{"POST", "/vmms/" + id + "/disks/com1/snapshot", 400, `disk_id: want a UUID, got "com1"`},
	} {
		r := s.do(tt.method, tt.path, "")
		if r.StatusCode != tt.status || !strings.Contains(r.body, tt.says) && !strings.Contains(r.body, strings.ReplaceAll(tt.says, `"`, `\"`)) {
			t.Errorf("%s %.80s: %d %.300s; want %d %q", tt.method, tt.path, r.StatusCode, r.body, tt.status, tt.says)
			continue
		}
		if tt.status >= 400 && tt.method != "HEAD" {
			if code, _ := r.failed(t); code != "" {
				t.Errorf("%s %.80s: error_code %q, want none for a client's error", tt.method, tt.path, code)
			}
		}
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	for path, allow := range map[string]string{
		vmmURL + "/external-ip": "DELETE, PUT", vmmURL + "/multicast-group": "DELETE, PUT",
		vmmURL + "/attached-subnets": "DELETE, POST, PUT", vmmURL + "/attached-subnets/192.0.2.0%2F28": "DELETE",
		vmmURL: "DELETE, PUT", stateURL: "GET, PUT", snapURL: "POST", "/zones": "GET", "/sled-identifiers": "GET",
	} {
		for _, method := range []string{"PATCH", "OPTIONS", "TRACE"} {
			if r := s.do(method, path, ""); r.StatusCode != 405 || r.Header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q; want 405 and %q", method, path, r.StatusCode, r.Header.Get("Allow"), allow)
			}
		}
	}
}

// Every answer has its own request id, whatever the client sends.
func TestRequestID(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	seen := map[string]bool{}
	for _, path := range []string{"/zones", "/zones", "/nowhere", stateURL} {
		r := s.do("GET", path, "", "x-request-id", "mine")
		id, err := uuid.Parse(r.Header.Get("x-request-id"))
		if err != nil || id.Version() != 4 || seen[id.String()] || len(r.Header.Values("x-request-id")) != 1 {
			t.Errorf("GET %s: x-request-id %q", path, r.Header.Values("x-request-id"))
		}
		seen[id.String()] = true
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const rec = `{"vmm_state":{"state":"stopping","gen":6,"time_updated":"2026-08-21T20:31:40.000112Z"},` +
		`"migration_in":{"migration_id":"0d9c8b7a-6f5e-4d3c-8b2a-190817263544","state":"pending","gen":1,` +
		`"time_updated":"2026-08-21T20:31:40.000112Z"},"migration_out":null}`
	id := propolisID.String()
	for _, tt := range []struct {
		method, path, body, call, answer string
	}{
		{"PUT", vmmURL, newBody(), "register:" + id + ":demo", rec},
		{"DELETE", vmmURL, "", "unregister:" + id, `{"updated_runtime":` + rec + `}`},
		{"GET", stateURL, "", "", rec},
		{"PUT", stateURL, stateBody("running"), "run:" + id, `{"updated_runtime":null}`},
		{"PUT", stateURL, `{"state":{"type":"migration_target","value":{"src_propolis_addr":"[fd00::7]:12400"}}}`,
			"migrate:" + id + ":[fd00::7]:12400", `{"updated_runtime":null}`},
		{"PUT", stateURL, stateBody("stopped"), "stop:" + id, `{"updated_runtime":` + rec + `}`},
		{"PUT", stateURL, stateBody("reboot"), "reboot:" + id, `{"updated_runtime":` + rec + `}`},
		{"POST", snapURL, snapshotBody, "snapshot:" + id + ":" + diskID.String() + ":8d1f3e5a-0b2c-4d6e-9f81-a3b5c7d9e0f2", snapshotBody},
		{"GET", "/zones", "", "zones", `["oxz_a","oxz_b"]`},
		{"GET", "/sled-identifiers", "", "", `{"rack_id":"` + diskID.String() + `","sled_id":"` + id +
			`","model":"913-0000019","revision":13,"serial":"BRM42220031"}`},
	} {
		f := &fakeAgent{}
		r := serve(t, f, api.Options{}).do(tt.method, tt.path, tt.body)
		if r.StatusCode != http.StatusOK || strings.TrimSpace(r.body) != tt.answer || r.Header.Get("content-type") != "application/json" {
			t.Errorf("%s %s: %d %s %s\nwant %s", tt.method, tt.path, r.StatusCode, r.Header.Get("content-type"), r.body, tt.answer)
		}
		if f.called() != tt.call {
			t.Errorf("%s %s: calls %q, want %q", tt.method, tt.path, f.called(), tt.call)
		}
	}
}

// The saga that undoes a migration in Nexus treats anything but 200 as fatal.
func TestUnregisterOfAnUnknownVMM(t *testing.T) {
	t.Parallel()
	r := serve(t, &fakeAgent{unknown: true}, api.Options{}).do("DELETE", vmmURL, "")
	if r.StatusCode != 200 || strings.TrimSpace(r.body) != `{"updated_runtime":null}` {
		t.Errorf("got %d %s", r.StatusCode, r.body)
	}
}
