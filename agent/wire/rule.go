package wire

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// A rule says what a value has to be. Rules hold no state: one serves every body.
type rule interface {
	// want describes the value for an error: "a UUID", "a list".
	want() string
	// check returns nil if the value is as wanted. The error's path starts at it.
	check(*node) *Error
}

// A format is a string of a certain form.
type format struct {
	what string
	ok   func(string) bool
}

func (f format) want() string { return f.what }

func (f format) check(n *node) *Error {
	if n.kind != text || !f.ok(n.text) {
		return n.refuse(f.what)
	}
	return nil
}

// A words rule is a string out of a list.
type words []string

func (w words) want() string {
	if len(w) == 1 {
		return strconv.Quote(w[0])
	}
	return fmt.Sprintf("one of %q", []string(w))
}

func (w words) check(n *node) *Error {
	if n.kind != text || !slices.Contains(w, n.text) {
		return n.refuse(w.want())
	}
	return nil
}

// A span is an integer within bounds. A number with a fraction or an exponent
// is none, whatever its value: so says serde_json.
type span struct{ min, max uint64 }

var (
	u8  = span{0, math.MaxUint8}
	u16 = span{0, math.MaxUint16}
	u32 = span{0, math.MaxUint32}
	u64 = span{0, math.MaxUint64}
	// generation: a database's integer, so no more than a signed one holds.
	generation = span{1, math.MaxInt64}
)

func (s span) want() string { return fmt.Sprintf("an integer from %d to %d", s.min, s.max) }

func (s span) check(n *node) *Error {
	v, err := strconv.ParseUint(n.text, 10, 64)
	if n.kind != number || err != nil || v < s.min || v > s.max {
		return n.refuse(s.want())
	}
	return nil
}

// A truth is true or false.
type truth struct{}

func (truth) want() string { return "true or false" }

func (t truth) check(n *node) *Error {
	if n.kind != boolean {
		return n.refuse(t.want())
	}
	return nil
}

// A listOf is a list of values that one rule holds for; of exactly count of
// them, if count is set.
type listOf struct {
	of    rule
	count int
}

func (l listOf) want() string {
	if l.count > 0 {
		return fmt.Sprintf("a list of %d", l.count)
	}
	return "a list"
}

func (l listOf) check(n *node) *Error {
	if n.kind != list || l.count > 0 && len(n.kids) != l.count {
		return n.refuse(l.want())
	}
	for i := range n.kids {
		if err := l.of.check(&n.kids[i]); err != nil {
			return err.item(i)
		}
	}
	return nil
}

// A mapOf is an object whose keys are the sender's and whose values one rule
// holds for.
type mapOf struct{ of rule }

func (mapOf) want() string { return "an object" }

func (m mapOf) check(n *node) *Error {
	if n.kind != object {
		return n.refuse(m.want())
	}
	for i := range n.kids {
		if err := m.of.check(&n.kids[i]); err != nil {
			return err.in(n.kids[i].key)
		}
	}
	return nil
}

// A field is one member of a record.
type field struct {
	key string
	rule
	absent, null bool
}

// req is a field that must be there.
func req(key string, r rule) field { return field{key: key, rule: r} }

// opt is a field that may be left out or be null, which mean the same.
func opt(key string, r rule) field { return field{key: key, rule: r, absent: true, null: true} }

// def is a field that has a default, so it may be left out but not be null.
func def(key string, r rule) field { return field{key: key, rule: r, absent: true} }

// A record is an object with fields of its own. If it is closed, it may have no
// others.
type record struct {
	fields []field
	closed bool
}

func open(f ...field) record   { return record{fields: f} }
func closed(f ...field) record { return record{fields: f, closed: true} }

func (record) want() string { return "an object" }

func (r record) check(n *node) *Error {
	if n.kind != object {
		return n.refuse(r.want())
	}
	var seen uint64
	for i := range n.kids {
		kid := &n.kids[i]
		at := slices.IndexFunc(r.fields, func(f field) bool { return f.key == kid.key })
		if at < 0 {
			if r.closed {
				return kid.refuse("no field of this name").in(kid.key)
			}
			continue
		}
		seen |= 1 << at
		if kid.kind == null && r.fields[at].null {
			continue
		}
		if err := r.fields[at].check(kid); err != nil {
			return err.in(kid.key)
		}
	}
	for i, f := range r.fields {
		if seen&(1<<i) == 0 && !f.absent {
			return (&Error{Want: f.want(), Got: "nothing", Offset: int64(n.to)}).in(f.key)
		}
	}
	return nil
}

// A union is one of several records, told apart by the word in one field.
type union struct {
	tag  string
	arms map[string]record
	tags words
}

// tagged makes a union of arms. Each arm gets the tag as one more field.
func tagged(tag string, arms map[string]record) union {
	u := union{tag: tag, arms: map[string]record{}, tags: slices.Sorted(maps.Keys(arms))}
	for word, arm := range arms {
		arm.fields = append([]field{req(tag, words{word})}, arm.fields...)
		u.arms[word] = arm
	}
	return u
}

func (u union) want() string { return "an object with a " + strconv.Quote(u.tag) }

func (u union) check(n *node) *Error {
	if n.kind != object {
		return n.refuse(u.want())
	}
	at := slices.IndexFunc(n.kids, func(kid node) bool { return kid.key == u.tag })
	if at < 0 {
		return (&Error{Want: u.tags.want(), Got: "nothing", Offset: int64(n.to)}).in(u.tag)
	}
	if err := u.tags.check(&n.kids[at]); err != nil {
		return err.in(u.tag)
	}
	return u.arms[n.kids[at].text].check(n)
}

// anyText is a string that only its reader can judge.
var anyText = format{"a string", func(string) bool { return true }}
