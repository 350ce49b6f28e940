package dropshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// An API is the part of an OpenAPI document that describes requests.
type API struct {
	operations []*Operation
}

// An Operation is one method of one path.
type Operation struct {
	// ID is the document's operationId.
	ID         string
	method     string
	path       []string // variables are in braces
	parameters map[string]*openapi3.SchemaRef
	body       *openapi3.SchemaRef // nil for none
}

// document is the used part of an OpenAPI document. openapi3.Loader reads all of it,
// which takes three times as long.
type document struct {
	Paths      map[string]map[string]operation
	Components struct{ Schemas openapi3.Schemas }
}

type operation struct {
	OperationID string
	Parameters  []struct {
		Name   string
		Schema *openapi3.SchemaRef
	}
	RequestBody struct {
		Content map[string]struct{ Schema *openapi3.SchemaRef }
	}
}

// Load parses an embedded document. It panics if the document is malformed.
func Load(text []byte) *API {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		panic(fmt.Sprintf("OpenAPI document: %v", err))
	}
	r := resolver{schemas: doc.Components.Schemas, api: &API{}}
	for _, s := range r.schemas {
		r.resolve(s)
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			r.add(path, method, o)
		}
	}
	slices.SortFunc(r.api.operations, func(a, b *Operation) int { return strings.Compare(a.method, b.method) })
	return r.api
}

// A resolver replaces references by their targets.
type resolver struct {
	schemas openapi3.Schemas
	api     *API
}

func (r resolver) add(path, method string, o operation) {
	op := &Operation{ID: o.OperationID, method: strings.ToUpper(method), path: strings.Split(path, "/")[1:],
		parameters: map[string]*openapi3.SchemaRef{}, body: o.RequestBody.Content["application/json"].Schema}
	r.resolve(op.body)
	for _, p := range o.Parameters {
		r.resolve(p.Schema)
		op.parameters["{"+p.Name+"}"] = p.Schema
	}
	r.api.operations = append(r.api.operations, op)
}

func (r resolver) resolve(ref *openapi3.SchemaRef) {
	switch {
	case ref == nil:
		return
	case ref.Ref != "":
		to := r.schemas[strings.TrimPrefix(ref.Ref, "#/components/schemas/")]
		if to == nil {
			panic("OpenAPI document: nothing at " + ref.Ref)
		}
		ref.Value = to.Value
		return
	}
	s := ref.Value
	for _, p := range s.Properties {
		r.resolve(p)
	}
	for _, inner := range slices.Concat(s.OneOf, s.AllOf, openapi3.SchemaRefs{s.Items, s.AdditionalProperties.Schema}) {
		r.resolve(inner)
	}
}

// Operation returns the operation with that id. It panics if there is none.
func (a *API) Operation(id string) *Operation {
	i := slices.IndexFunc(a.operations, func(o *Operation) bool { return o.ID == id })
	if i < 0 {
		panic("OpenAPI document: no operation " + id)
	}
	return a.operations[i]
}

// Route returns the operation of a request and the values of its path's variables, in
// order.
func (a *API) Route(r *http.Request) (*Operation, []string, *Error) {
	segments, err := Split(r.URL)
	if err != nil {
		return nil, nil, BadRequest(err.Error())
	}
	var allowed []string
	for _, op := range a.operations {
		if vars, ok := op.match(segments); ok && op.method == r.Method {
			return op, vars, op.checkVars(vars)
		} else if ok {
			allowed = append(allowed, op.method)
		}
	}
	if allowed == nil {
		return nil, nil, Plain(http.StatusNotFound, "")
	}
	refusal := Plain(http.StatusMethodNotAllowed, "")
	refusal.allow = strings.Join(allowed, ", ")
	return nil, nil, refusal
}

// Split splits a path at its slashes and decodes each segment by itself. It drops empty
// segments.
func Split(u *url.URL) ([]string, error) {
	var segments []string
	for raw := range strings.SplitSeq(u.EscapedPath(), "/") {
		segment, err := url.PathUnescape(raw)
		switch {
		case err != nil:
			return nil, fmt.Errorf("path segment %q: %w", raw, err)
		case segment == "." || segment == "..":
			return nil, errors.New("dot-segments are not permitted")
		case segment != "":
			segments = append(segments, segment)
		}
	}
	return segments, nil
}

func (o *Operation) match(segments []string) (vars []string, ok bool) {
	ok = slices.EqualFunc(o.path, segments, func(want, got string) bool {
		if strings.HasPrefix(want, "{") {
			vars = append(vars, got)
			return true
		}
		return want == got
	})
	return vars, ok
}

func (o *Operation) checkVars(vars []string) *Error {
	for _, name := range o.path {
		if !strings.HasPrefix(name, "{") {
			continue
		}
		if err := visit(o.parameters[name], vars[0]); err != nil {
			return BadRequest("bad parameter in URL path: " + strings.Trim(name, "{}") + ": want " + want(err.Schema))
		}
		vars = vars[1:]
	}
	return nil
}

// HasPath reports whether the document has a path that matches these segments.
func (a *API) HasPath(segments []string) bool {
	return slices.ContainsFunc(a.operations, func(o *Operation) bool { _, ok := o.match(segments); return ok })
}
