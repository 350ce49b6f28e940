package servertest

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/propolis/server"
)

var document = sync.OnceValues(func() (*openapi3.T, error) { return openapi3.NewLoader().LoadFromData(server.Document()) })

// conforms checks an answer against the API's document.
func conforms(t testing.TB, r *http.Request, got Reply) {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	schema := schemaOf(doc, r, got.Status)
	if strings.HasPrefix(r.URL.Path, "/sim/") || schema == nil {
		return
	}
	if ct := got.Header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("%s %s: content type %q", r.Method, r.URL.Path, ct)
	}
	if err := schema.VisitJSON(Decode[any](t, got.Body)); err != nil {
		t.Errorf("%s %s: %d %s: %v", r.Method, r.URL.Path, got.Status, got.Body, err)
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
