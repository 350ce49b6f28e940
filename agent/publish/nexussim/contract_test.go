package nexussim

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/internal/contract"
	"github.com/sledagent/sledagent/internal/dropshot"
)

// Every rule for refusing a request, broken one at a time.
func TestRefusals(t *testing.T) {
	t.Parallel()
	const good = `{"vmm_state":{"state":"running","gen":3,"time_updated":"2026-08-21T22:14:31Z"}}`
	swap := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	migration := func(fields string) string {
		return strings.TrimSuffix(good, "}") + `,"migration_in":` + fields + `}`
	}
	path := "/vmms/" + vmmA.String()
	tests := []struct {
		name    string
		method  string
		path    string
		version string
		ctype   string
		body    string
		status  int
		message string
	}{
		{name: "good", status: 204},
		{name: "older version", version: "0.9.1", status: 204},
		{name: "pre-release of the newest", version: "1.0.0-rc.1", status: 204},
		{name: "no version", version: "-", status: 400, message: `missing expected header "api-version"`},
		{name: "version is not semver", version: "1", status: 400, message: `bad value for header "api-version"`},
		{name: "version is too new", version: "1.0.1", status: 400, message: "server does not support this API version: 1.0.1"},
		{name: "version comes before the path", version: "-", path: "/nothing", status: 400, message: "missing expected header"},
		{name: "unknown path", path: "/nothing", status: 404, message: "Not Found"},
		{name: "path goes on", path: path + "/state", status: 404, message: "Not Found"},
		{name: "slashes do not count", path: "//vmms//" + vmmA.String() + "/", status: 204},
		{name: "dots in the path", path: "/vmms/%2e%2e/x", status: 400, message: "dot-segments"},
		{name: "method", method: http.MethodDelete, status: 405, message: "Method Not Allowed"},
		{name: "id", path: "/vmms/vm-1", status: 400, message: "bad parameter in URL path"},
		{name: "JSON with parameters", ctype: "application/json; charset=utf-8", status: 204},
		{name: "other type", ctype: "text/plain", status: 400, message: `expected content type "application/json", got "text/plain"`},
		{name: "after the value", body: good + " rubbish", status: 204},
		{name: "unknown field", body: swap(`"gen"`, `"more":[1,{"a":2}],"gen"`), status: 204},
		{name: "null migration", body: migration("null"), status: 204},
		{name: "not JSON", body: "{", status: 400, message: "unable to parse JSON body: "},
		{name: "no body", body: " ", status: 400, message: "EOF while parsing a value"},
		{name: "array", body: "[]", status: 400, message: "want an object, got a list of 0"},
		{name: "no vmm_state", body: "{}", status: 400, message: "vmm_state: want an object, got nothing"},
		{name: "null vmm_state", body: `{"vmm_state":null}`, status: 400, message: "vmm_state: want an object, got null"},
		{name: "name in capitals", body: swap(`"state"`, `"State"`), status: 400, message: "vmm_state.state: want one of"},
		{name: "field twice", body: swap(`"gen":3`, `"gen":3,"gen":4`), status: 400, message: "vmm_state.gen: want a key once"},
		{name: "unknown state", body: swap("running", "creating"), status: 400,
			message: `vmm_state.state: want one of ["starting"`},
		{name: "state is a number", body: swap(`"running"`, "7"), status: 400, message: "vmm_state.state: want one of"},
		{name: "gen is text", body: swap(":3", `:"3"`), status: 400, message: "vmm_state.gen: want an integer"},
		{name: "gen is negative", body: swap(":3", ":-3"), status: 400, message: "vmm_state.gen: want an integer from 0"},
		{name: "gen has a fraction", body: swap(":3", ":3.0"), status: 400, message: "vmm_state.gen: want an integer"},
		{name: "greatest gen", body: swap(":3", ":9223372036854775807"), status: 204},
		{name: "gen beyond 64 bits", body: swap(":3", ":18446744073709551616"), status: 400, message: "vmm_state.gen: want an integer"},
		{name: "gen too great", body: swap(":3", ":9223372036854775808"), status: 400, message: "generation number too large"},
		{name: "time", body: swap("2026-08-21T22:14:31Z", "yesterday"), status: 400, message: "vmm_state.time_updated: want a string of the format date-time"},
		{name: "migration without fields", body: migration("{}"), status: 400, message: "migration_in.gen: want an integer"},
		{name: "migration's id", body: migration(`{"migration_id":"x","state":"pending","gen":1,"time_updated":"2026-08-21T22:14:31Z"}`),
			status: 400, message: "migration_in.migration_id: want a string of the format uuid"},
		{name: "migration's state", body: migration(`{"migration_id":"` + migX.String() + `","state":"Finish","gen":1,"time_updated":"2026-08-21T22:14:31Z"}`),
			status: 400, message: "migration_in.state: want one of"},
		{name: "body of the greatest size", body: good + strings.Repeat(" ", dropshot.MaxBody-len(good)), status: 204},
		{name: "body too large", body: good + strings.Repeat(" ", dropshot.MaxBody-len(good)+1), status: 400,
			message: "request body exceeded maximum size of 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, Options{})
			r := httptest.NewRequest(cmp.Or(tt.method, http.MethodPut), cmp.Or(tt.path, path), strings.NewReader(cmp.Or(tt.body, good)))
			if tt.version != "-" {
				r.Header.Set("api-version", cmp.Or(tt.version, APIVersion))
			}
			if tt.ctype != "" {
				r.Header.Set("Content-Type", tt.ctype)
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if message := checkAnswer(t, w); w.Code != tt.status || !strings.Contains(message, tt.message) {
				t.Errorf("status %d, message %s; want %d and %q", w.Code, message, tt.status, tt.message)
			}
			if _, known := s.Row(vmmA); known != (tt.status == 204) {
				t.Errorf("row is there: %v", known)
			}
		})
	}
}

// checkAnswer verifies what all answers of dropshot have in common, and returns the
// error's message.
func checkAnswer(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	id := w.Header().Get("x-request-id")
	if _, err := uuid.Parse(id); err != nil {
		t.Errorf("x-request-id %q: %v", id, err)
	}
	if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != "PUT" {
		t.Errorf("Allow is %q", w.Header().Get("Allow"))
	}
	if w.Code == http.StatusNoContent {
		return ""
	}
	var e struct {
		RequestID *string `json:"request_id"`
		Message   *string `json:"message"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.RequestID == nil || *e.RequestID != id || e.Message == nil {
		t.Fatalf("error body %s (%v), want request id %s and a message", w.Body, err, id)
	}
	return *e.Message
}

func TestDocument(t *testing.T) {
	t.Parallel()
	contract.Agrees(t, "openapi.json", "nexus-internal-vmm.json")
}

// The fixtures are bodies that the real Nexus accepts; the stored records must equal them.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, file := range contract.Fixtures(t, "nexus_vmm_put_*.json") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want vmm.Record
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			s := newServer(t, Options{})
			wantPut(t, s, vmmA, want, http.StatusNoContent)
			if row, _ := s.Row(vmmA); row.Record == nil || !sameRecord(*row.Record, want) {
				t.Errorf("stored %+v, want %+v", row.Record, want)
			}
		})
	}
}

// A refused update creates no row; a stale one is answered with 204.
func TestKnownVMMs(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	s.SetKnown(vmmA)
	wantPut(t, s, vmmA, record(vmm.WireRunning, 3), 204)
	wantPut(t, s, vmmB, record(vmm.WireRunning, 3), 500)
	if row, _ := s.Row(vmmB); row.Record != nil || row.LastEffect != Rejected {
		t.Errorf("row of a VMM that does not exist: %+v", row)
	}
	s.SetKnown(vmmB)
	wantPut(t, s, vmmB, record(vmm.WireRunning, 3), 204)
}
