package sim_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

const contractDir = "../../../shared/contract/"

// contract is Propolis's OpenAPI document, or nil where there is none.
var contract = sync.OnceValues(func() (*openapi3.T, error) {
	raw, err := os.ReadFile(contractDir + "propolis-server.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// A key is a UUID or any string: every UUID is both, which oneOf forbids and
	// the servers' own parser does not mind.
	text := strings.Replace(string(raw), `"oneOf": [
          {
            "title": "uuid"`, `"anyOf": [
          {
            "title": "uuid"`, 1)
	return openapi3.NewLoader().LoadFromData([]byte(text))
})

// conforms holds an answer of the API against the document.
func conforms(t testing.TB, r *http.Request, got reply) {
	t.Helper()
	doc, err := contract()
	if err != nil {
		t.Fatalf("contract: %v", err)
	}
	if doc == nil || strings.HasPrefix(r.URL.Path, "/sim/") {
		return
	}
	schema := schemaOf(doc, r, got.status)
	if schema == nil {
		return
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("%s %s: content type %q", r.Method, r.URL.Path, ct)
	}
	var value any
	if err := json.Unmarshal([]byte(got.body), &value); err != nil {
		t.Errorf("%s %s: %d: %v", r.Method, r.URL.Path, got.status, err)
		return
	}
	if err := schema.VisitJSON(value); err != nil {
		t.Errorf("%s %s: %d %s: %v", r.Method, r.URL.Path, got.status, got.body, err)
	}
}

// schemaOf finds what an answer must look like; nil if it has no body or is
// for a path that does not exist. The document says of null that it is a string
// with the one value null, which nothing satisfies.
func schemaOf(doc *openapi3.T, r *http.Request, status int) *openapi3.Schema {
	if status >= 400 {
		return doc.Components.Schemas["Error"].Value
	}
	path := r.URL.Path
	if strings.Contains(path, "/snapshot/") {
		return nil
	}
	item := doc.Paths.Find(path)
	if item == nil {
		return nil
	}
	response := item.GetOperation(r.Method).Responses.Status(status)
	if response == nil {
		return &openapi3.Schema{Not: &openapi3.SchemaRef{Value: &openapi3.Schema{}}}
	}
	media := response.Value.Content.Get("application/json")
	if media == nil {
		return nil
	}
	return media.Schema.Value
}

// TestFixtures feeds the contract's request fixtures to the simulator.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pp_ensure_spec.json", "pp_ensure_migration_target.json"} {
		body, err := os.ReadFile(contractDir + "fixtures/" + name)
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("no contract here")
		}
		if err != nil {
			t.Fatal(err)
		}
		c := overSocket(t, fast())
		c.want(c.call("PUT", "/instance", string(body)), "Created")
		c.want(c.call("GET", "/instance", ""), "OK")
		c.want(c.call("GET", "/instance/spec", ""), "OK")
	}
}
