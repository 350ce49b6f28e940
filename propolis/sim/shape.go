package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"github.com/google/uuid"
)

// A check decides whether a JSON value at a path is what the API takes there.
type check func(path string, raw json.RawMessage) error

func wrong(path, format string, args ...any) error {
	return fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
}

// fields are an object's members by name.
type fields map[string]check

// closed is an object with exactly these members, of which some may be left out.
func closed(required, optional fields) check {
	return func(path string, raw json.RawMessage) error {
		object, err := members(path, raw)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if required[name] == nil && optional[name] == nil {
				return wrong(path, "unknown field `%s`", name)
			}
		}
		return checkMembers(path, object, required, optional)
	}
}

// open is an object with at least these members.
func open(required, optional fields) check {
	return func(path string, raw json.RawMessage) error {
		object, err := members(path, raw)
		if err != nil {
			return err
		}
		return checkMembers(path, object, required, optional)
	}
}

func members(path string, raw json.RawMessage) (map[string]json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil || object == nil {
		return nil, wrong(path, "expected an object")
	}
	return object, nil
}

func checkMembers(path string, object map[string]json.RawMessage, required, optional fields) error {
	for _, name := range slices.Sorted(maps.Keys(required)) {
		if object[name] == nil {
			return wrong(path, "missing field `%s`", name)
		}
		if err := required[name](path+"."+name, object[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(optional)) {
		if object[name] == nil {
			continue
		}
		if err := optional[name](path+"."+name, object[name]); err != nil {
			return err
		}
	}
	return nil
}

// tagged is an object whose member tag names a variant and whose member content
// has that variant's shape. A nil variant has no content.
func tagged(tag, content string, variants fields, shape func(required, optional fields) check) check {
	return func(path string, raw json.RawMessage) error {
		object, err := members(path, raw)
		if err != nil {
			return err
		}
		var name string
		if err := json.Unmarshal(object[tag], &name); err != nil {
			return wrong(path, "missing field `%s`", tag)
		}
		variant, known := variants[name]
		switch {
		case !known:
			return wrong(path, "unknown variant `%s`, expected one of %q", name, slices.Sorted(maps.Keys(variants)))
		case variant == nil:
			return shape(fields{tag: text}, nil)(path, raw)
		}
		return shape(fields{tag: text, content: variant}, nil)(path, raw)
	}
}

// each is an object with any member names, all of one shape.
func each(value check) check {
	return func(path string, raw json.RawMessage) error {
		object, err := members(path, raw)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if err := value(path+"."+name, object[name]); err != nil {
				return err
			}
		}
		return nil
	}
}

// list is an array of one shape.
func list(item check) check {
	return func(path string, raw json.RawMessage) error {
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil || items == nil {
			return wrong(path, "expected an array")
		}
		for i, v := range items {
			if err := item(fmt.Sprintf("%s[%d]", path, i), v); err != nil {
				return err
			}
		}
		return nil
	}
}

// exactly is a list of n items.
func exactly(n int, item check) check {
	return func(path string, raw json.RawMessage) error {
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) == nil && len(items) != n {
			return wrong(path, "expected an array of length %d", n)
		}
		return list(item)(path, raw)
	}
}

func nullable(inner check) check {
	return func(path string, raw json.RawMessage) error {
		if string(raw) == "null" {
			return nil
		}
		return inner(path, raw)
	}
}

func oneOf(words ...string) check {
	return func(path string, raw json.RawMessage) error {
		if word, err := stringAt(path, raw); err != nil {
			return err
		} else if !slices.Contains(words, word) {
			return wrong(path, "unknown variant `%s`, expected one of %q", word, words)
		}
		return nil
	}
}

// unsigned is an integer of so many bits.
func unsigned(bits int) check {
	return func(path string, raw json.RawMessage) error {
		if _, err := strconv.ParseUint(string(raw), 10, bits); err != nil {
			return wrong(path, "expected u%d", bits)
		}
		return nil
	}
}

func stringAt(path string, raw json.RawMessage) (string, error) {
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", wrong(path, "expected a string")
	}
	return *s, nil
}

func text(path string, raw json.RawMessage) error {
	_, err := stringAt(path, raw)
	return err
}

func boolean(path string, raw json.RawMessage) error {
	if s := string(raw); s != "true" && s != "false" {
		return wrong(path, "expected a boolean")
	}
	return nil
}

func id(path string, raw json.RawMessage) error {
	s, err := stringAt(path, raw)
	if err != nil {
		return err
	}
	if _, err := uuid.Parse(s); err != nil {
		return wrong(path, "UUID parsing failed: %v", err)
	}
	return nil
}

func socketAddr(path string, raw json.RawMessage) error {
	s, err := stringAt(path, raw)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddrPort(s); err != nil {
		return wrong(path, "invalid socket address syntax")
	}
	return nil
}
