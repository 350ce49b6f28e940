package api_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
)

// A generator makes values that fit schemas, the same for one seed.
type generator struct{ *rand.Rand }

func newGenerator(seed uint64) generator { return generator{rand.New(rand.NewPCG(seed, 0))} }

func (g generator) uuid() string {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(g.Uint32())
	}
	return id.String()
}

func (g generator) value(ref *openapi3.SchemaRef) any {
	s := ref.Value
	switch {
	case s.Nullable && g.IntN(3) == 0:
		return nil
	case len(s.AllOf) == 1:
		return g.value(s.AllOf[0])
	case s.OneOf != nil:
		return g.value(s.OneOf[g.IntN(len(s.OneOf))])
	case s.Enum != nil:
		return s.Enum[g.IntN(len(s.Enum))]
	case s.Type.Is(openapi3.TypeBoolean):
		return g.IntN(2) == 0
	case s.Type.Is(openapi3.TypeInteger):
		return g.integer(s)
	case s.Type.Is(openapi3.TypeString):
		return g.text(s)
	case s.Type.Is(openapi3.TypeArray):
		return g.list(s)
	}
	return g.object(s)
}

// integer returns a bound or a small number. The greatest 64-bit number is left out, since
// it is not one as a float64.
func (g generator) integer(s *openapi3.Schema) any {
	low, high := uint64(0), uint64(1)<<63-1<<33
	if s.Min != nil {
		low = uint64(*s.Min)
	}
	if bits, err := strconv.Atoi(strings.TrimPrefix(s.Format, "uint")); err == nil && bits < 64 {
		high = math.MaxUint64 >> (64 - bits)
	}
	if s.Max != nil {
		high = min(high, uint64(*s.Max))
	}
	return []uint64{low, high, low + uint64(g.IntN(8))}[g.IntN(3)]
}

func (g generator) text(s *openapi3.Schema) any {
	switch {
	case s.Format == "uuid":
		return g.uuid()
	case s.Example != nil:
		return s.Example
	}
	return []string{"", "a", "ü \"\\\u0000/~", strings.Repeat("long ", 40)}[g.IntN(4)]
}

func (g generator) list(s *openapi3.Schema) any {
	n := g.IntN(3)
	if s.UniqueItems {
		n = min(n, 1) // generated items may be the same
	}
	if s.MinItems > 0 {
		n = int(s.MinItems)
	}
	if s.MaxItems != nil {
		n = min(n, int(*s.MaxItems))
	}
	list := []any{}
	for range n {
		list = append(list, g.value(s.Items))
	}
	return list
}

func (g generator) object(s *openapi3.Schema) any {
	object := map[string]any{}
	names := slices.Sorted(maps.Keys(s.Properties))
	if s.MaxProps != nil {
		names = names[g.IntN(len(names)):][:1]
	}
	for _, name := range names {
		if s.MinProps > 0 || slices.Contains(s.Required, name) || g.IntN(2) == 0 {
			object[name] = g.value(s.Properties[name])
		}
	}
	if values := s.AdditionalProperties.Schema; values != nil {
		for i := range g.IntN(4) {
			object[fmt.Sprintf("key-%d", i)] = g.value(values)
		}
	}
	return object
}

// damaged returns a copy of a value with one thing in it, chosen at random, replaced,
// removed or added.
func (g generator) damaged(v any) any {
	if object, ok := v.(map[string]any); ok && len(object) > 0 && g.IntN(12) > 0 {
		object = maps.Clone(object)
		name := slices.Sorted(maps.Keys(object))[g.IntN(len(object))]
		switch g.IntN(8) {
		case 0:
			delete(object, name)
		case 1:
			object["surplus"] = object[name]
		default:
			object[name] = g.damaged(object[name])
		}
		return object
	}
	if list, ok := v.([]any); ok && len(list) > 0 && g.IntN(8) > 0 {
		list = slices.Clone(list)
		i := g.IntN(len(list))
		list[i] = g.damaged(list[i])
		return list
	}
	return []any{nil, true, -1, 1.5, 1e300, "", "x", strings.Repeat("9", 3000), []any{}, map[string]any{}, []any{[]any{}}}[g.IntN(11)]
}
