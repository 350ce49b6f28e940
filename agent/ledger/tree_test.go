package ledger

import (
	"bytes"
	"slices"
	"testing"
)

// structure checks the structure of a file in memory, and returns its live pages.
func structure(file []byte) (live []bool, err error) {
	t, err := newTree(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	if err := t.page(t.root, nil, nil, 0); err != nil {
		return nil, err
	}
	live = slices.Clone(t.claimed)
	clear(t.claimed)
	return live, t.check()
}

// TestStructure breaks each page of a tree in ways that no checksum of a value
// shows: whatever the page, it has to be missed.
func TestStructure(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	live, err := structure(s.file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newest(bytes.NewReader(s.file))
	if err != nil {
		t.Fatal(err)
	}
	live[m.freelist] = true
	for name, harm := range map[string]func(page []byte) (harmed bool){
		"an element fewer": func(p []byte) bool {
			n := order.Uint16(p[10:])
			order.PutUint16(p[10:], n-1)
			return n > 0
		},
		"no element": func(p []byte) bool {
			n := order.Uint16(p[10:])
			order.PutUint16(p[10:], 0)
			return n > 0
		},
		"an element more": func(p []byte) bool {
			order.PutUint16(p[10:], order.Uint16(p[10:])+1)
			return true
		},
		"a page more": func(p []byte) bool {
			order.PutUint32(p[12:], order.Uint32(p[12:])+1)
			return true
		},
		"another's id": func(p []byte) bool {
			order.PutUint64(p, order.Uint64(p)+1)
			return true
		},
		"itself below": func(p []byte) bool {
			copy(p[pageHeader+8:], p[:8])
			return order.Uint16(p[8:]) == branchFlag
		},
		"its first key elsewhere": func(p []byte) bool {
			n := order.Uint16(p[10:])
			at := pageHeader
			if order.Uint16(p[8:]) == leafFlag {
				at += 4
			}
			order.PutUint32(p[at:], order.Uint32(p[at:])+1)
			return n > 0
		},
	} {
		harms := 0
		for id, alive := range live {
			file := bytes.Clone(s.file)
			page := file[id*pageSize:][:pageSize]
			if !alive || order.Uint64(page) != uint64(id) || !harm(page) {
				continue
			}
			harms++
			if _, err := structure(file); err == nil {
				t.Errorf("page %d with %s was not missed", id, name)
			}
		}
		if harms == 0 {
			t.Errorf("no page can have %s", name)
		}
	}
}
