package dropshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxDepth is the maximum nesting: that of serde_json, the reference's decoder.
	maxDepth = 128
	// maxValues bounds the tree of one body. A real body of MaxBody bytes has at most a
	// value for every ten bytes.
	maxValues = 1 << 17
)

// A reader reads the first JSON value of a body as openapi3 takes it. The decoder
// refuses duplicate keys and what is not UTF-8.
type reader struct {
	dec    *jsontext.Decoder
	values int
}

func newReader(body []byte) *reader {
	return &reader{dec: jsontext.NewDecoder(bytes.NewBuffer(body))}
}

func (r *reader) value() (any, *Invalid) {
	token, err := r.dec.ReadToken()
	if err != nil {
		return nil, r.broken(err)
	}
	if r.values++; r.values > maxValues {
		return nil, r.refuse(fmt.Sprintf("at most %d values in a body", maxValues), "more")
	}
	if r.dec.StackDepth() > maxDepth {
		return nil, r.refuse(fmt.Sprintf("at most %d levels of nesting", maxDepth), "more")
	}
	switch token.Kind() {
	case jsontext.KindBeginObject:
		return r.object()
	case jsontext.KindBeginArray:
		return r.array()
	case jsontext.KindString:
		return token.String(), nil
	case jsontext.KindNumber:
		return number(token.String()), nil
	case jsontext.KindNull:
		return nil, nil
	}
	return token.Bool(), nil
}

func (r *reader) object() (any, *Invalid) {
	object := map[string]any{}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		key, err := r.dec.ReadToken()
		if err != nil {
			return nil, r.broken(err)
		}
		name := key.String()
		value, bad := r.value()
		if bad != nil {
			return nil, bad
		}
		object[name] = value
	}
	return object, r.end()
}

func (r *reader) array() (any, *Invalid) {
	items := []any{}
	for r.dec.PeekKind() != jsontext.KindEndArray {
		value, bad := r.value()
		if bad != nil {
			return nil, bad
		}
		items = append(items, value)
	}
	return items, r.end()
}

// end reads the closing bracket.
func (r *reader) end() *Invalid {
	if _, err := r.dec.ReadToken(); err != nil {
		return r.broken(err)
	}
	return nil
}

func (r *reader) refuse(want, got string) *Invalid {
	return &Invalid{Path: r.path(r.dec.StackPointer()), Want: want, Got: got, Offset: r.dec.InputOffset()}
}

// broken returns the error for invalid JSON.
func (r *reader) broken(err error) *Invalid {
	bad := &Invalid{Want: "JSON", Got: err.Error(), Offset: r.dec.InputOffset()}
	if at, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		bad.Path, bad.Offset, bad.Got = r.path(at.JSONPointer), at.ByteOffset, at.Err.Error()
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		bad.Got = "the end of the body"
	case errors.Is(err, jsontext.ErrDuplicateName):
		bad.Want, bad.Got = "a key once", "it twice"
	}
	return bad
}

// path returns the path of a place on the way to where the decoder is.
func (r *reader) path(to jsontext.Pointer) (path string) {
	depth := 0
	for step := range to.Tokens() {
		depth++
		if kind, _ := r.kind(depth); kind == jsontext.KindBeginArray {
			path = item(path, step)
		} else {
			path = Key(path, step)
		}
	}
	return path
}

func (r *reader) kind(depth int) (jsontext.Kind, int64) {
	if depth > r.dec.StackDepth() {
		return 0, 0
	}
	return r.dec.StackIndex(depth)
}

// find returns the path of the value at these steps, its text, and where it ends. The
// text is nil, and the end that of the last object, if there is no such value.
func find(body []byte, steps []string) (path string, value jsontext.Value, end int64) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body))
	for i, step := range steps {
		last := i == len(steps)-1
		if token, err := dec.ReadToken(); err != nil || token.Kind() == jsontext.KindBeginArray {
			path = item(path, step)
			skipItems(dec, step)
			continue
		}
		path = Key(path, step)
		if !skipMembers(dec, step) && last {
			return path, nil, dec.InputOffset()
		}
	}
	value, _ = dec.ReadValue()
	return path, value, dec.InputOffset()
}

// skipMembers skips the members before the named one.
func skipMembers(dec *jsontext.Decoder, name string) (found bool) {
	for {
		key, err := dec.ReadToken()
		if err != nil || key.Kind() == jsontext.KindEndObject {
			return false
		}
		if key.String() == name {
			return true
		}
		if err := dec.SkipValue(); err != nil {
			return false
		}
	}
}

func skipItems(dec *jsontext.Decoder, index string) {
	for n, _ := strconv.Atoi(index); n > 0; n-- {
		if err := dec.SkipValue(); err != nil {
			return
		}
	}
}

// shown describes a value for an error.
func shown(value jsontext.Value) string {
	switch value.Kind() {
	case jsontext.KindInvalid:
		return "nothing"
	case jsontext.KindString:
		text, _ := jsontext.AppendUnquote(nil, value)
		return strconv.Quote(cut(string(text)))
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		items, _ := newReader(value).value()
		list, _ := items.([]any)
		return fmt.Sprintf("a list of %d", len(list))
	}
	return cut(string(value))
}
