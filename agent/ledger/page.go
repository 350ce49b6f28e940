package ledger

import (
	"bytes"
	"errors"
	"fmt"
)

// An element is one of a page: a key with its value, or with the page below.
type element struct {
	key, value []byte
	flags      uint32
	below      uint64
}

// parse takes a page apart. bbolt lays the elements' bytes one after the other
// behind the elements, so that a count or a length that has changed shows.
func parse(data []byte) (elements []element, leaf bool, err error) {
	if len(data) < pageHeader {
		return nil, false, errors.New("it is cut short")
	}
	flags, count := order.Uint16(data[8:]), int(order.Uint16(data[10:]))
	leaf = flags == leafFlag
	if !leaf && (flags != branchFlag || count == 0) {
		return nil, false, fmt.Errorf("it has flags %#x and %d elements", flags, count)
	}
	if first := data[pageHeader:]; count == 0 && len(first) >= elementLen && !bytes.Equal(first[:elementLen], make([]byte, elementLen)) {
		return nil, false, errors.New("it has elements and says that it has none") // bbolt fills what it writes with zeroes
	}
	next := uint64(pageHeader + count*elementLen)
	for i := range count {
		at := pageHeader + i*elementLen
		if at+elementLen > len(data) {
			return nil, false, fmt.Errorf("it has no room for %d elements", count)
		}
		b := data[at : at+elementLen]
		e := element{below: order.Uint64(b[8:])}
		pos, klen, vlen := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), uint64(0)
		if leaf {
			e.flags, pos = order.Uint32(b), uint64(order.Uint32(b[4:]))
			klen, vlen = uint64(order.Uint32(b[8:])), uint64(order.Uint32(b[12:]))
		}
		if pos += uint64(at); pos != next || pos+klen+vlen > uint64(len(data)) {
			return nil, false, fmt.Errorf("element %d is not where it has to be", i)
		}
		next = pos + klen + vlen
		e.key, e.value = data[pos:pos+klen], data[pos+klen:next]
		elements = append(elements, e)
	}
	return elements, leaf, nil
}

// gather visits the elements of a bucket, given by its value, as far as they can
// be read.
func (t *tree) gather(bucket []byte, visit func(element)) {
	if len(bucket) < bucketLen {
		return
	}
	if root := order.Uint64(bucket); root != 0 {
		t.gatherPage(root, visit, 0)
		return
	}
	elements, _, _ := parse(bucket[bucketLen:]) // those before an error are good
	for _, e := range elements {
		visit(e)
	}
}

func (t *tree) gatherPage(id uint64, visit func(element), depth int) {
	data, err := t.read(id)
	if err != nil || depth > maxTree {
		return
	}
	elements, leaf, _ := parse(data) // those before an error are good
	for _, e := range elements {
		if leaf {
			visit(e)
		} else {
			t.gatherPage(e.below, visit, depth+1)
		}
	}
}
