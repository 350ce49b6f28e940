package dropshot

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json/jsontext"
)

// A Checked is a valid body.
type Checked struct {
	// Text is the first JSON value of the body, and shares its memory.
	Text jsontext.Value
	// Tree is the value as maps, lists, strings, booleans, nil, and float64 for every
	// number.
	Tree any
}

// Check checks a body, of which everything after the first JSON value is ignored.
func (o *Operation) Check(body []byte) (Checked, *Invalid) {
	r := newReader(body)
	tree, bad := r.value()
	if bad != nil {
		return Checked{}, bad
	}
	c := Checked{Text: body[:r.dec.InputOffset()], Tree: tree}
	if err := visit(o.body, tree); err != nil {
		return Checked{}, invalid(c.Text, err)
	}
	return c, nil
}

// Refuse returns the error for the value at these steps of a valid body. An item of a
// list is at its index.
func (c Checked) Refuse(want string, steps ...string) *Invalid {
	path, value, end := find(c.Text, steps)
	return &Invalid{Path: path, Want: want, Got: shown(value), Offset: end}
}

// number reads an integer of at most 64 bits. The APIs have no other numbers, so those
// become one that no schema accepts: openapi3 would accept 3.0 as an integer.
func number(text string) float64 {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return float64(n)
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return float64(n)
	}
	return 0.5
}

func visit(schema *openapi3.SchemaRef, value any) *openapi3.SchemaError {
	// The error of a oneOf has the error of the chosen variant as its origin.
	err := schema.Value.VisitJSON(value, options...)
	var inner *openapi3.SchemaError
	for cause := err; errors.As(cause, &inner); cause = inner.Origin {
	}
	if inner == nil && err != nil {
		inner = &openapi3.SchemaError{Schema: schema.Value, Reason: err.Error()}
	}
	return inner
}

// invalid converts an error of openapi3, whose texts are about the schema.
func invalid(body []byte, e *openapi3.SchemaError) *Invalid {
	steps, expected := e.JSONPointer(), ""
	switch e.SchemaField {
	case "required":
		if member := e.Schema.Properties[steps[len(steps)-1]]; member != nil {
			expected = want(member.Value)
		}
	case "properties":
		object, _ := e.Value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if e.Schema.Properties[name] == nil {
				steps = append(steps, name)
				break
			}
		}
		expected = "no field of this name"
	case "discriminator":
		steps = append(steps, e.Schema.Discriminator.PropertyName)
		expected = oneOf(slices.Sorted(maps.Keys(e.Schema.Discriminator.Mapping)))
	default:
		expected = want(e.Schema)
	}
	return Checked{Text: body}.Refuse(expected, steps...)
}

func oneOf(values []string) string {
	if len(values) == 1 {
		return strconv.Quote(values[0])
	}
	return fmt.Sprintf("one of %q", values)
}

// want describes the values that a schema accepts.
func want(s *openapi3.Schema) string {
	switch {
	case s.Title != "" && s.Example != nil:
		return fmt.Sprintf("%s such as %q", s.Title, s.Example)
	case s.Title != "":
		return s.Title
	case len(s.AllOf) == 1:
		return want(s.AllOf[0].Value)
	case s.Discriminator != nil:
		return "an object with a " + strconv.Quote(s.Discriminator.PropertyName)
	case s.Enum != nil:
		var values []string
		for _, v := range s.Enum {
			values = append(values, fmt.Sprint(v))
		}
		return oneOf(values)
	case s.Type.Is(openapi3.TypeInteger):
		return integer(s)
	case s.Type.Is(openapi3.TypeBoolean):
		return "true or false"
	case s.Type.Is(openapi3.TypeArray) && s.MinItems > 0:
		return fmt.Sprintf("a list of %d", s.MinItems)
	case s.Type.Is(openapi3.TypeArray) && s.UniqueItems:
		return "a list without duplicates"
	case s.Type.Is(openapi3.TypeArray):
		return "a list"
	case s.Format != "":
		return "a string of the format " + s.Format
	case s.Type.Is(openapi3.TypeString):
		return "a string"
	}
	return "an object"
}

func integer(s *openapi3.Schema) string {
	low, high := 0.0, ""
	if s.Min != nil {
		low = *s.Min
	}
	if bits, err := strconv.Atoi(strings.TrimPrefix(s.Format, "uint")); err == nil && bits > 0 && bits <= 64 {
		high = strconv.FormatUint(math.MaxUint64>>(64-bits), 10)
	}
	if s.Max != nil {
		high = strconv.FormatFloat(*s.Max, 'f', -1, 64)
	}
	if high == "" {
		return fmt.Sprintf("an integer of %.0f or more", low)
	}
	return fmt.Sprintf("an integer from %.0f to %s", low, high)
}
