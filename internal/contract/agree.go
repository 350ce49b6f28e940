package contract

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

// Agrees compares an OpenAPI document of this tree with the real one of that name: each
// of its operations must exist there, with the same members, types and answers. The test
// is skipped if there is no contract.
func Agrees(t *testing.T, document, name string) {
	t.Helper()
	ours, theirs := load(t, document), load(t, Path(t, name))
	for path, item := range ours.Paths.Map() {
		for method, op := range item.Operations() {
			there := theirs.Paths.Value(path)
			if there == nil || there.GetOperation(method) == nil {
				t.Errorf("%s %s: %s has no such operation", method, path, name)
				continue
			}
			if diff := cmp.Diff(meaning(there.GetOperation(method)), meaning(op)); diff != "" {
				t.Errorf("%s %s (-real +ours):\n%s", method, path, diff)
			}
		}
	}
}

func load(t *testing.T, file string) *openapi3.T {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return doc
}

// meaning returns an operation without the names of its schemas.
func meaning(op *openapi3.Operation) map[string]any {
	says := map[string]any{"operationId": op.OperationID}
	for _, p := range op.Parameters {
		says["parameter "+p.Value.Name] = shape(p.Value.Schema)
	}
	if op.RequestBody != nil {
		says["body"] = shape(op.RequestBody.Value.Content["application/json"].Schema)
	}
	for status, r := range op.Responses.Map() {
		says[status] = nil
		if media := r.Value.Content["application/json"]; media != nil {
			says[status] = shape(media.Schema)
		}
	}
	return says
}

// shape returns a schema in a normal form without names and descriptions.
func shape(ref *openapi3.SchemaRef) any {
	s := *ref.Value
	switch {
	case slices.Equal(s.Enum, []any{nil}):
		return nil
	case s.Nullable:
		s.Nullable = false
		return map[string]any{"nullable": shape(&openapi3.SchemaRef{Value: &s})}
	case len(s.AllOf) == 1:
		return shape(s.AllOf[0])
	case s.OneOf != nil:
		return choice(s.OneOf)
	}
	says := map[string]any{"type": s.Type.Slice(), "format": s.Format, "enum": s.Enum, "min": s.Min, "max": s.Max,
		"minItems": s.MinItems, "maxItems": s.MaxItems, "required": slices.Sorted(slices.Values(s.Required)),
		"closed": s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has}
	for name, p := range s.Properties {
		says["."+name] = shape(p)
	}
	if s.Items != nil {
		says["[]"] = shape(s.Items)
	}
	if values := s.AdditionalProperties.Schema; values != nil {
		says[".*"] = shape(values)
	}
	return says
}

// choice returns the shape of a oneOf: of constants, of strings of which one kind
// contains the other, or of objects with a discriminating member.
func choice(of openapi3.SchemaRefs) any {
	var values []any
	variants := map[string]any{}
	for _, v := range of {
		for len(v.Value.AllOf) == 1 {
			v = v.Value.AllOf[0]
		}
		values = append(values, v.Value.Enum...)
		for name, p := range v.Value.Properties {
			if p.Value.Enum != nil {
				variants[fmt.Sprint(name, "=", p.Value.Enum)] = shape(v)
			}
		}
	}
	if len(variants) > 0 {
		return variants
	}
	return shape(openapi3.NewSchemaRef("", &openapi3.Schema{Type: &openapi3.Types{"string"}, Enum: values}))
}
