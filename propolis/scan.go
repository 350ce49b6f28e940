package propolis

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// A span is a part of a JSON text, as offsets into it.
type span struct{ start, end int }

// A member is one key of an object with its value.
type member struct {
	key    string
	rawKey []byte // with its quotes, as it was written
	value  span
}

// members lists the members of the object at s in text, which must be valid
// JSON. A key that is there twice is an error: what a reader makes of such an
// object depends on the reader.
func members(text []byte, s span) ([]member, error) {
	if text[s.start] != '{' {
		return nil, fmt.Errorf("want an object, got %s", oneLine(string(text[s.start:s.end]), 32))
	}
	var list []member
	seen := make(map[string]bool)
	for at := skipSpace(text, s.start+1); text[at] != '}'; {
		if text[at] == ',' {
			at = skipSpace(text, at+1)
		}
		key := span{at, skipValue(text, at)}
		m := member{rawKey: text[key.start:key.end]}
		if err := json.Unmarshal(m.rawKey, &m.key); err != nil {
			return nil, fmt.Errorf("read key %s: %w", m.rawKey, err)
		}
		if seen[m.key] {
			return nil, fmt.Errorf("key %q is there twice", m.key)
		}
		seen[m.key] = true
		colon := skipSpace(text, key.end)
		m.value.start = skipSpace(text, colon+1)
		m.value.end = skipValue(text, m.value.start)
		list = append(list, m)
		at = skipSpace(text, m.value.end)
	}
	return list, nil
}

// whole returns the span of the one value that text is.
func whole(text []byte) (span, error) {
	if !json.Valid(text) {
		return span{}, errNotJSON
	}
	start := skipSpace(text, 0)
	return span{start, skipValue(text, start)}, nil
}

func skipSpace(text []byte, at int) int {
	for at < len(text) && bytes.IndexByte([]byte(" \t\r\n"), text[at]) >= 0 {
		at++
	}
	return at
}

// skipValue returns the end of the value that begins at text[at]. It keeps a
// count instead of a stack, which valid JSON permits.
func skipValue(text []byte, at int) int {
	for depth := 0; ; {
		switch text[at] {
		case '"':
			at = skipString(text, at)
		case '{', '[':
			depth++
			at++
		case '}', ']':
			depth--
			at++
		case ',', ':', ' ', '\t', '\r', '\n':
			at++
		default:
			at = skipScalar(text, at)
		}
		if depth == 0 {
			return at
		}
	}
}

func skipString(text []byte, at int) int {
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at + 1
}

func skipScalar(text []byte, at int) int {
	for at < len(text) && bytes.IndexByte([]byte(" \t\r\n,:]}"), text[at]) < 0 {
		at++
	}
	return at
}
