package sim_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/internal/contract"
)

var document = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromFile("../server/openapi.json") })

func TestDocument(t *testing.T) {
	t.Parallel()
	doc, err := document()
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	contract.Agrees(t, "../server/openapi.json", "propolis-server.json")
}

// conforms checks an answer of the API against the document.
func conforms(t testing.TB, r *http.Request, got reply) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	schema := schemaOf(doc, r, got.status)
	if strings.HasPrefix(r.URL.Path, "/sim/") || schema == nil {
		return
	}
	if ct := got.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("%s %s: content type %q", r.Method, r.URL.Path, ct)
	}
	if err := schema.VisitJSON(decode[any](t, got.body)); err != nil {
		t.Errorf("%s %s: %d %s: %v", r.Method, r.URL.Path, got.status, got.body, err)
	}
}

// schemaOf returns the schema of an answer; nil if it has no body or its path does not
// exist.
func schemaOf(doc *openapi3.T, r *http.Request, status int) *openapi3.Schema {
	if status >= 400 {
		return doc.Components.Schemas["Error"].Value
	}
	item := doc.Paths.Find(r.URL.Path)
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

// The contract's request fixtures are accepted.
func TestFixtures(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pp_ensure_spec.json", "pp_ensure_migration_target.json"} {
		body, err := os.ReadFile(contract.Path(t, filepath.Join("fixtures", name)))
		if err != nil {
			t.Fatal(err)
		}
		c := overSocket(t, fast())
		c.want(c.call("PUT", "/instance", string(body)), "Created")
		c.want(c.call("GET", "/instance", ""), "OK")
		c.want(c.call("GET", "/instance/spec", ""), "OK")
	}
}
