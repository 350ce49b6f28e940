package admin_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(admin.Document())
	if err == nil {
		err = doc.Validate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	for _, of := range []reflect.Type{reflect.TypeFor[admin.About](), reflect.TypeFor[vmm.Status](),
		reflect.TypeFor[disposition.Status](), reflect.TypeFor[admin.NamedEvent](), reflect.TypeFor[admin.Error](),
		reflect.TypeFor[admin.Health](), reflect.TypeFor[admin.Config](), reflect.TypeFor[admin.LogLevel](),
		reflect.TypeFor[vmm.ZoneList](), reflect.TypeFor[admin.Reloaded]()} {
		describes(t, doc, of, seen)
	}
}

// describes verifies that the document has the members of a type and of those in it.
func describes(t *testing.T, doc *openapi3.T, of reflect.Type, seen map[reflect.Type]bool) {
	t.Helper()
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || !strings.HasPrefix(of.PkgPath(), "github.com/sledagent") || seen[of] {
		return
	}
	seen[of] = true
	name := of.Name()
	if of == reflect.TypeFor[disposition.Status]() {
		name = "DispositionStatus" // Status is that of a VMM
	}
	schema := doc.Components.Schemas[name]
	if schema == nil {
		t.Errorf("the document has no schema %s", name)
		return
	}
	var members, required []string
	for _, f := range reflect.VisibleFields(of) {
		member, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || member == "-" {
			continue
		}
		members = append(members, member)
		if options == "" {
			required = append(required, member)
		}
		describes(t, doc, f.Type, seen)
	}
	slices.Sort(members)
	slices.Sort(required)
	if got := slices.Sorted(maps.Keys(schema.Value.Properties)); !slices.Equal(got, members) {
		t.Errorf("%s: the document has the members %q, the type %q", name, got, members)
	}
	if got := slices.Sorted(slices.Values(schema.Value.Required)); !slices.Equal(got, required) {
		t.Errorf("%s: the document requires %q, want %q", name, got, required)
	}
}

// The methods of each path that is described are those that are served.
func TestDocumentHasMethods(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(admin.Document())
	if err != nil {
		t.Fatal(err)
	}
	s := serveWith(t, admintest.New(admin.About{}), admin.Options{Sled: http.NotFoundHandler(), Process: &fakeProcess{}})
	for path, item := range doc.Paths.Map() {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
			described := item.GetOperation(method) != nil
			code, _ := s.do(method, strings.Replace(path, "{id}", id(1).String(), 1)+"?follow=false", nil)
			if served := code != http.StatusMethodNotAllowed; served != described {
				t.Errorf("%s %s: described %t, served %t (%d)", method, path, described, served, code)
			}
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	s := serve(t, admintest.New(admin.About{}))
	if status, body := s.do("GET", "/v1/openapi.json", nil); status != 200 || body != string(admin.Document()) {
		t.Errorf("got %d %.80s", status, body)
	}
}
