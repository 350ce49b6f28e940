package wire

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"github.com/sledagent/sledagent/internal/dropshot"
)

// Newest is the newest served version of the API, of which only the first number counts.
// Versions 49 to 54 changed nothing of a VMM.
const Newest = 54

// document describes the newest version.
//
//go:embed openapi.json
var document []byte

// older describes what older versions had instead, as merge patches (RFC 7396) of the
// document, the newest first: each applies to the versions before one, in addition to
// those above it.
//
//go:embed older.json
var older []byte

// Document returns the OpenAPI document of the newest version. It must not be changed.
func Document() []byte { return document }

// DocumentAt returns the OpenAPI document of a version.
func DocumentAt(version uint64) []byte {
	var doc any
	mustDecode(document, &doc)
	for _, p := range patches() {
		if version < p.Before {
			doc = merge(doc, p.Patch)
		}
	}
	text, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("encode OpenAPI document: %v", err)) // it was decoded from JSON
	}
	return text
}

// Serves reports whether a version has the path with these segments. The document says
// nothing about paths that even the newest version does not have.
func Serves(version uint64, segments []string) bool {
	then, now := apiAt(version), apiAt(Newest)
	return then == now || then.HasPath(segments) || !now.HasPath(segments)
}

type patch struct {
	Before uint64
	Patch  any
}

var patches = sync.OnceValue(func() (all []patch) {
	mustDecode(older, &all)
	return all
})

// A shape is the API of all versions before one, down to the next shape.
type shape struct {
	before uint64
	api    func() *dropshot.API
}

// shapes are read when they are needed: one takes milliseconds.
var shapes = sync.OnceValue(func() []shape {
	list := []shape{{math.MaxUint64, sync.OnceValue(func() *dropshot.API { return dropshot.Load(document) })}}
	for _, p := range patches() {
		list = append(list, shape{p.Before, sync.OnceValue(func() *dropshot.API {
			return dropshot.Load(DocumentAt(p.Before - 1))
		})})
	}
	return list
})

func apiAt(version uint64) *dropshot.API {
	all := shapes()
	at := all[0]
	for _, s := range all[1:] {
		if version < s.before {
			at = s
		}
	}
	return at.api()
}

// merge applies a merge patch to decoded JSON, which it may change.
func merge(to, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := to.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for key, change := range changes {
		if change == nil {
			delete(object, key)
		} else {
			object[key] = merge(object[key], change)
		}
	}
	return object
}

// mustDecode decodes an embedded file.
func mustDecode(text []byte, into any) {
	if err := json.Unmarshal(text, into); err != nil {
		panic(fmt.Sprintf("embedded OpenAPI document: %v", err))
	}
}
