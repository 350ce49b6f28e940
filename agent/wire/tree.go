package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf8"
)

const (
	// maxDepth is how deep values may nest: what serde_json, the reference's
	// decoder, allows.
	maxDepth = 128
	// maxValues bounds what the tree of one body can cost. The API takes bodies
	// of 1 MiB; a real one has a value for every ten bytes or more.
	maxValues = 1 << 17
)

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

// A node is one value of a body.
type node struct {
	// key is the value's name if it is a member of an object.
	key string
	// text is a string's content, or a number or a boolean as it was written.
	text string
	// kids are a list's items or an object's members, in the order of the body.
	kids []node
	// from and to are where an object or a list is in the body. Of other values
	// only to is known.
	from, to int32
	kind     kind
}

// get returns the member of that name. It is nil if there is none or if it is
// null, and so is any member of nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for i := range n.kids {
		if n.kids[i].key == key && n.kids[i].kind != null {
			return &n.kids[i]
		}
	}
	return nil
}

// items returns the items of a list; none if it is nil.
func (n *node) items() []node {
	if n == nil {
		return nil
	}
	return n.kids
}

// got describes the value for an error.
func (n *node) got() string {
	switch n.kind {
	case text:
		return strconv.Quote(cut(n.text))
	case object:
		return "an object"
	case list:
		return fmt.Sprintf("a list of %d", len(n.kids))
	default:
		return cut(n.text)
	}
}

// refuse makes the error for a value that is not what was wanted.
func (n *node) refuse(want string) *Error {
	return &Error{Want: want, Got: n.got(), Offset: int64(n.to)}
}

// parse reads the first JSON value of the body. What follows it is not looked at.
func parse(body []byte) (*node, *Error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	w := walker{dec: dec}
	root, err := w.value(0)
	if err != nil {
		return nil, err
	}
	// The decoder would let the characters pass that serde_json does not, and
	// the spec goes on to Propolis as it is.
	if !utf8.Valid(body[:root.to]) {
		return nil, &Error{Want: "UTF-8", Got: "other bytes", Offset: int64(root.to)}
	}
	return &root, nil
}

// A walker builds the tree of one body.
type walker struct {
	dec    *json.Decoder
	values int
}

func (w *walker) value(depth int) (node, *Error) {
	tok, err := w.dec.Token()
	if err != nil {
		return node{}, w.broken(err)
	}
	n := node{to: int32(w.dec.InputOffset())}
	if w.values++; w.values > maxValues {
		return n, &Error{Want: fmt.Sprintf("at most %d values in a body", maxValues), Got: "more", Offset: int64(n.to)}
	}
	switch t := tok.(type) {
	case json.Delim:
		if depth == maxDepth {
			return n, &Error{Want: fmt.Sprintf("at most %d levels of nesting", maxDepth), Got: "more", Offset: int64(n.to)}
		}
		n.from = n.to - 1
		if t == '{' {
			return w.object(n, depth)
		}
		return w.list(n, depth)
	case string:
		n.kind, n.text = text, t
	case json.Number:
		n.kind, n.text = number, t.String()
	case bool:
		n.kind, n.text = boolean, strconv.FormatBool(t)
	default:
		n.kind, n.text = null, "null"
	}
	return n, nil
}

func (w *walker) list(n node, depth int) (node, *Error) {
	n.kind = list
	for w.dec.More() {
		kid, err := w.value(depth + 1)
		if err != nil {
			return n, err.item(len(n.kids))
		}
		n.kids = append(n.kids, kid)
	}
	return w.end(n)
}

func (w *walker) object(n node, depth int) (node, *Error) {
	n.kind = object
	var seen keys
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return n, w.broken(err)
		}
		key, _ := tok.(string) // the decoder lets nothing else stand before a colon
		if seen.has(n.kids, key) {
			return n, (&Error{Want: "a key once", Got: "it twice", Offset: w.dec.InputOffset()}).in(key)
		}
		kid, bad := w.value(depth + 1)
		if bad != nil {
			return n, bad.in(key)
		}
		kid.key = key
		n.kids = append(n.kids, kid)
	}
	return w.end(n)
}

// A keys set remembers the keys of one object. Most objects have so few that
// looking through them is cheaper than a map.
type keys map[string]struct{}

const manyKeys = 16

// has tells whether key is among the kids; they must be the same as at the last
// call and maybe one more.
func (k *keys) has(kids []node, key string) bool {
	if len(kids) < manyKeys {
		return slices.ContainsFunc(kids, func(kid node) bool { return kid.key == key })
	}
	if *k == nil {
		*k = keys{}
		for i := range kids {
			(*k)[kids[i].key] = struct{}{}
		}
	}
	(*k)[kids[len(kids)-1].key] = struct{}{}
	_, ok := (*k)[key]
	return ok
}

// end takes the closing bracket.
func (w *walker) end(n node) (node, *Error) {
	if _, err := w.dec.Token(); err != nil {
		return n, w.broken(err)
	}
	n.to = int32(w.dec.InputOffset())
	return n, nil
}

// broken makes the error for what is not JSON.
func (w *walker) broken(err error) *Error {
	e := &Error{Want: "JSON", Got: err.Error(), Offset: w.dec.InputOffset()}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Got = "the end of the body"
	case errors.As(err, &syntax):
		e.Offset = syntax.Offset
	}
	return e
}
