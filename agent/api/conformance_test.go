package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/rs/zerolog"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// versions are both ends of each shape of the API.
var versions = []uint64{1, 5, 6, 7, 8, 9, 10, 11, 13, 14, 16, 17, 18, 28, 29, 30, 31, 32, 40, 41, 43, 44, 48, 49, 52, 53, 54}

// TestConformance makes every request of the document of every version, with generated
// bodies: valid ones must be accepted, damaged ones refused or accepted, and all answers
// must fit the document. CONFORMANCE is the number of bodies of each operation and kind;
// without it some versions are left out.
func TestConformance(t *testing.T) {
	t.Parallel()
	versions := versions
	bodies, _ := strconv.Atoi(os.Getenv("CONFORMANCE"))
	if bodies == 0 {
		bodies, versions = 1, []uint64{1, 6, 17, 31, 48, wire.Newest}
	}
	run := newConformance(t, fakeSled())
	newest := operations(t, wire.Newest)
	for _, version := range versions {
		served := operations(t, version)
		for id, op := range newest {
			if then, ok := served[id]; ok {
				run.operation(version, then, bodies)
			} else {
				run.absent(version, op)
			}
		}
	}
	t.Logf("%d operations, %d versions, %d cases, %d failures; answers by status: %v",
		len(newest), len(versions), run.cases, run.failures, run.answers)
}

// An operation is one of a document.
type operation struct {
	*openapi3.Operation
	method, path string
}

// documents are the documents that were loaded, by their text: most versions have one
// with others.
var documents sync.Map

// operations returns the operations of a version by their ids.
func operations(t *testing.T, version uint64) map[string]operation {
	t.Helper()
	text := wire.DocumentAt(version)
	doc, ok := documents.Load(string(text))
	if !ok {
		var err error
		if doc, err = openapi3.NewLoader().LoadFromData(text); err != nil {
			t.Fatal(err)
		}
		documents.Store(string(text), doc)
	}
	all := map[string]operation{}
	for path, item := range doc.(*openapi3.T).Paths.Map() {
		for method, op := range item.Operations() {
			all[op.OperationID] = operation{op, method, path}
		}
	}
	return all
}

// A conformance is a run of TestConformance. The first of the handlers is of an agent
// that refuses nothing.
type conformance struct {
	t               *testing.T
	handlers        []http.Handler
	answers         map[int]int // by status
	cases, failures int
}

func newConformance(t *testing.T, sled api.Sled) *conformance {
	agents := []*fakeAgent{{sled: sled}, {unknown: true}, {err: &vmm.Refusal{Reason: vmm.Unknown}}, {err: &vmm.Refusal{Reason: vmm.Busy}},
		{err: &vmm.Refusal{Reason: vmm.Terminating}}, {err: &vmm.Refusal{Reason: vmm.Conflict}}, {err: &vmm.Refusal{Reason: vmm.Loading}}, {err: &vmm.Refusal{Reason: vmm.Evacuating}}, {err: errors.New("x")}}
	run := &conformance{t: t, answers: map[int]int{}}
	options := api.Options{Log: zerolog.Nop(), Bundles: fakeBundles{}, Zoneadm: zoneadm}
	for _, a := range agents {
		run.handlers = append(run.handlers, api.New(a, options).Handler())
	}
	return run
}

func (c *conformance) failf(format string, args ...any) {
	if c.failures++; c.failures <= 20 {
		c.t.Errorf(format, args...)
	}
}

// absent verifies that a version does not have an operation.
func (c *conformance) absent(version uint64, op operation) {
	w, _ := c.send(c.handlers[0], version, op, newGenerator(0), nil)
	if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "error_code") {
		c.failf("%s at %d: %d %s, want 404 without a code", op.OperationID, version, w.Code, w.Body)
	}
}

func (c *conformance) operation(version uint64, op operation, bodies int) {
	for seed := range uint64(bodies) {
		g := newGenerator(version<<32 + seed)
		body := op.body(g)
		for i, h := range c.handlers {
			w, request := c.send(h, version, op, g, body)
			if i == 0 && w.Code >= 400 {
				c.failf("%s: %d %s\n%s", request, w.Code, w.Body, body)
			}
			c.check(op, request, w)
		}
		if body == nil {
			continue
		}
		var tree any
		if err := json.Unmarshal(body, &tree); err != nil {
			c.t.Fatal(err)
		}
		for range 8 {
			damaged, err := json.Marshal(g.damaged(tree))
			if err != nil {
				c.t.Fatal(err)
			}
			if g.IntN(16) == 0 {
				damaged = damaged[:g.IntN(len(damaged))] // also no JSON
			}
			w, request := c.send(c.handlers[0], version, op, g, damaged)
			if w.Code >= 500 {
				c.failf("%s: %d %s\n%s", request, w.Code, w.Body, damaged)
			}
			c.check(op, request, w)
		}
	}
}

// body returns a valid body, or nil if there is none.
func (op operation) body(g generator) []byte {
	if op.RequestBody == nil {
		return nil
	}
	value := g.value(op.RequestBody.Value.Content["application/json"].Schema)
	if op.OperationID == "vmm_register" {
		consistent(g, value.(map[string]any))
	}
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return body
}

// consistent makes a registration do what a schema cannot say.
func consistent(g generator, body map[string]any) {
	components := body["vmm_spec"].(map[string]any)["components"].(map[string]any)
	config := body["local_config"].(map[string]any)
	for i, nic := range config["nics"].([]any) {
		nic, id := nic.(map[string]any), g.uuid()
		nic["id"], nic["slot"], nic["primary"] = id, i, i == 0
		components[id] = map[string]any{"type": "virtio_network_backend", "component": map[string]any{"vnic_name": ""}}
	}
	groups, _ := config["multicast_groups"].([]any)
	for _, group := range groups {
		group.(map[string]any)["group_ip"] = "239.1.2.3"
	}
	each(config, func(object map[string]any) {
		if object["last_port"] != nil {
			object["first_port"] = 0
		}
	})
}

// each calls a function for all objects in a value.
func each(v any, do func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		do(v)
		for _, inner := range v {
			each(inner, do)
		}
	case []any:
		for _, inner := range v {
			each(inner, do)
		}
	}
}

// send makes a request and returns its answer and a description.
func (c *conformance) send(h http.Handler, version uint64, op operation, g generator, body []byte) (*httptest.ResponseRecorder, string) {
	path := strings.NewReplacer("{propolis_id}", g.uuid(), "{disk_id}", g.uuid(), "{bundle_id}", g.uuid(), "{vpc_id}", g.uuid(),
		"{subnet}", "192.0.2.0%2F28", "{zone_name}", "oxz_propolis-server_x").Replace(op.path)
	var reader io.Reader
	if body != nil {
		reader = strings.NewReader(string(body))
	}
	r := httptest.NewRequest(op.method, path, reader)
	r.Header.Set("api-version", fmt.Sprintf("%d.0.0", version))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	c.cases++
	c.answers[w.Code]++
	return w, fmt.Sprintf("%s at %d", op.OperationID, version)
}

// check verifies that an answer is one of the operation's.
func (c *conformance) check(op operation, request string, w *httptest.ResponseRecorder) {
	want := op.Responses.Status(w.Code)
	if want == nil && w.Code >= 400 {
		want = op.Responses.Value(fmt.Sprintf("%dXX", w.Code/100))
	}
	if want == nil {
		c.failf("%s: the document has no status %d", request, w.Code)
		return
	}
	content := want.Value.Content.Get(w.Header().Get("content-type"))
	if content == nil {
		if want.Value.Content != nil || w.Body.Len() > 0 {
			c.failf("%s: %d with %q", request, w.Code, w.Header().Get("content-type"))
		}
		return
	}
	if want.Value.Content["application/json"] == nil {
		return
	}
	var body any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		c.failf("%s: %d %s: %v", request, w.Code, w.Body, err)
	} else if err := content.Schema.Value.VisitJSON(body); err != nil {
		c.failf("%s: %d %s: %v", request, w.Code, w.Body, err)
	}
}
