package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Differ lists how the operations of an OpenAPI document of this tree differ from those
// of the real one: "-" is before what only the real one says, "+" before what only ours
// does. Operations that the real one does not have, prose, patterns, the formats of strings
// and default values are not compared.
func Differ(ours, real *openapi3.T) (lines []string) {
	for _, path := range slices.Sorted(maps.Keys(real.Paths.Map())) {
		for method, op := range real.Paths.Value(path).Operations() {
			here := ours.Paths.Value(path)
			if here == nil || here.GetOperation(method) == nil {
				lines = append(lines, fmt.Sprintf("-%s", op.OperationID))
				continue
			}
			lines = append(lines, diff(says(here.GetOperation(method)), says(op))...)
		}
	}
	slices.Sort(lines)
	return lines
}

func diff(ours, theirs []string) (lines []string) {
	for _, line := range theirs {
		if !slices.Contains(ours, line) {
			lines = append(lines, "-"+line)
		}
	}
	for _, line := range ours {
		if !slices.Contains(theirs, line) {
			lines = append(lines, "+"+line)
		}
	}
	return lines
}

// says lists everything that an operation says, a line for each thing.
func says(op *openapi3.Operation) (lines []string) {
	at := op.OperationID + " "
	lines = append(lines, at)
	for _, p := range op.Parameters {
		lines = append(lines, of(at+p.Value.In+" "+p.Value.Name, p.Value.Schema)...)
	}
	if op.RequestBody != nil {
		lines = append(lines, of(at+"body", op.RequestBody.Value.Content["application/json"].Schema)...)
	}
	for status, r := range op.Responses.Map() {
		lines = append(lines, at+status)
		for media, content := range r.Value.Content {
			lines = append(lines, of(at+status+" "+media, content.Schema)...)
		}
	}
	return lines
}

func of(at string, ref *openapi3.SchemaRef) (lines []string) {
	s := ref.Value
	if s.Nullable {
		lines = append(lines, at+" may be null")
	}
	switch {
	case len(s.AllOf) == 1:
		return append(lines, of(at, s.AllOf[0])...)
	case s.OneOf != nil:
		return append(lines, variants(at, s)...)
	case s.MinProps == 1 && s.MaxProps != nil && *s.MaxProps == 1:
		// The same as a oneOf of objects with one member each.
		for name, p := range s.Properties {
			one := openapi3.NewObjectSchema().WithPropertyRef(name, p).WithRequired([]string{name}).WithoutAdditionalProperties()
			lines = append(lines, of(at+"<"+name+">", one.NewRef())...)
		}
		return lines
	case s.Type != nil:
		lines = append(lines, strings.TrimSpace(at+": "+strings.Join(s.Type.Slice(), " ")+" "+integer(s)))
	}
	for _, v := range s.Enum {
		lines = append(lines, fmt.Sprintf("%s may be %v", at, v))
	}
	if s.MinItems > 0 {
		lines = append(lines, fmt.Sprintf("%s has %d items", at, s.MinItems))
	}
	if s.AdditionalProperties.Has != nil && !*s.AdditionalProperties.Has {
		lines = append(lines, at+" has no others")
	}
	for _, name := range s.Required {
		lines = append(lines, at+"."+name+" is required")
	}
	for name, p := range s.Properties {
		lines = append(lines, of(at+"."+name, p)...)
	}
	if s.Items != nil {
		lines = append(lines, of(at+"[]", s.Items)...)
	}
	if values := s.AdditionalProperties.Schema; values != nil {
		lines = append(lines, of(at+".*", values)...)
	}
	return lines
}

func integer(s *openapi3.Schema) string {
	if s.Type.Is(openapi3.TypeInteger) {
		return s.Format
	}
	return ""
}

// variants are those of a oneOf: constants, strings, or objects, of which each has one
// value of one member or a required member of its own.
func variants(at string, s *openapi3.Schema) (lines []string) {
	for _, v := range s.OneOf {
		for len(v.Value.AllOf) == 1 {
			v = v.Value.AllOf[0]
		}
		if !v.Value.Type.Is(openapi3.TypeObject) {
			lines = append(lines, of(at, v)...)
			continue
		}
		tag := strings.Join(v.Value.Required, " ")
		for _, name := range slices.Sorted(maps.Keys(v.Value.Properties)) {
			if enum := v.Value.Properties[name].Value.Enum; len(enum) == 1 {
				tag = fmt.Sprint(enum[0])
			}
		}
		lines = append(lines, of(at+"<"+tag+">", v)...)
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}
