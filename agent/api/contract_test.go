package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/vmm"
)

// Every answer must be what the API's document says it is.
func TestAnswersFitTheContract(t *testing.T) {
	t.Parallel()
	const file = "../../../shared/contract/sled-agent-vmm.json"
	if _, err := os.Stat(file); err != nil {
		t.Skip("the API's document is not here")
	}
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{nil, &vmm.Refusal{Reason: vmm.Unknown}, &vmm.Refusal{Reason: vmm.Loading},
		&vmm.Refusal{Reason: vmm.Terminating}, &vmm.Refusal{Reason: vmm.Conflict, Detail: "x"}, errors.New("x")} {
		for _, unknown := range []bool{false, true} {
			s := serve(t, &fakeAgent{err: err, unknown: unknown}, api.Options{})
			for _, call := range [][3]string{
				{"PUT", vmmURL, newBody()}, {"DELETE", vmmURL, ""}, {"GET", stateURL, ""}, {"PUT", stateURL, stateBody("running")},
				{"PUT", stateURL, stateBody("stopped")}, {"PUT", stateURL, "{}"}, {"POST", snapURL, snapshotBody},
				{"GET", "/zones", ""}, {"GET", "/sled-identifiers", ""},
			} {
				checkContract(t, doc, s.do(call[0], call[1], call[2]))
			}
		}
	}
}

// templates are the document's paths of those that the tests use.
var templates = map[string]string{
	vmmURL: "/vmms/{propolis_id}", stateURL: "/vmms/{propolis_id}/state",
	snapURL: "/vmms/{propolis_id}/disks/{disk_id}/snapshot", "/zones": "/zones", "/sled-identifiers": "/sled-identifiers",
}

func checkContract(t *testing.T, doc *openapi3.T, r reply) {
	t.Helper()
	item := doc.Paths.Find(templates[r.Request.URL.Path])
	if item == nil || item.GetOperation(r.Request.Method) == nil {
		t.Fatalf("%s %s is not in the document", r.Request.Method, r.Request.URL)
	}
	responses := item.GetOperation(r.Request.Method).Responses
	want := responses.Status(r.StatusCode)
	if want == nil && r.StatusCode >= 400 {
		want = responses.Value(fmt.Sprintf("%dXX", r.StatusCode/100))
	}
	if want == nil {
		t.Fatalf("%s %s: the document has no status %d", r.Request.Method, r.Request.URL.Path, r.StatusCode)
	}
	content := want.Value.Content.Get(r.Header.Get("content-type"))
	if content == nil {
		t.Fatalf("%s %s: the document has no %q", r.Request.Method, r.Request.URL.Path, r.Header.Get("content-type"))
	}
	var body any
	if err := json.Unmarshal([]byte(r.body), &body); err != nil {
		t.Fatal(err)
	}
	if err := content.Schema.Value.VisitJSON(body); err != nil {
		t.Errorf("%s %s: %d %s: %v", r.Request.Method, r.Request.URL.Path, r.StatusCode, r.body, err)
	}
}
