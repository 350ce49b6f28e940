package propolis

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/sledagent/sledagent/internal/plain"
)

// A span is a part of a JSON text, as offsets.
type span struct{ start, end int }

// A member is a key of an object and its value.
type member struct {
	key    string
	rawKey []byte // quoted, as in the text
	start  int    // where the key begins
	value  span
}

// members lists the members of the object at s in text, which must be valid JSON. A
// duplicate key is an error, since readers interpret such an object differently.
func members(text []byte, s span) ([]member, error) {
	if text[s.start] != '{' {
		return nil, fmt.Errorf("want an object, got %s", plain.Line(string(text[s.start:s.end]), 32))
	}
	d := json.NewDecoder(bytes.NewReader(text[s.start:s.end]))
	at := func() int { return s.start + int(d.InputOffset()) }
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var list []member
	seen := make(map[string]bool)
	for d.More() {
		begin := at()
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{key: key.(string), rawKey: bytes.TrimLeft(text[begin:at()], space+",")}
		if seen[m.key] {
			return nil, fmt.Errorf("key %q is there twice", m.key)
		}
		seen[m.key] = true
		m.start = at() - len(m.rawKey)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		m.value = span{at() - len(value), at()}
		list = append(list, m)
	}
	return list, nil
}

// whole returns the span of the single value in text.
func whole(text []byte) (span, error) {
	if !json.Valid(text) {
		return span{}, errNotJSON
	}
	return span{len(text) - len(bytes.TrimLeft(text, space)), len(bytes.TrimRight(text, space))}, nil
}

// space is JSON's white space.
const space = " \t\r\n"
