package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// A tree reads the structure of a bbolt file (version 2 of its format) without
// bbolt, which trusts what it maps: a page that has changed can send it in
// circles, have it free a page that is in use, or make it fault in a goroutine
// of its own. What passes here cannot.
//
// Every page up to the high-water mark has to be claimed once, by the trees of
// buckets or by the list of free pages.
type tree struct {
	meta
	file    io.ReaderAt
	claimed []bool // for each page below the high-water mark that is there
}

// The format, as bbolt's internal/common has it; integers are in the host's order.
const (
	pageHeader  = 16 // id uint64, flags uint16, count uint16, overflow uint32
	elementLen  = 16 // branch: pos, ksize uint32, id uint64; leaf: flags, pos, ksize, vsize uint32
	bucketLen   = 16 // root uint64, sequence uint64
	metaLen     = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2
	minPage     = 1 << 10
	maxPage     = 16 << 20

	branchFlag, leafFlag, freelistFlag = 0x01, 0x02, 0x10
	isBucket                           = 0x01

	// maxTree is more than the pages from a root to a leaf, and the buckets in
	// buckets, of any ledger.
	maxTree = 40
)

var order = binary.NativeEndian

// meta is what a meta page says.
type meta struct {
	size                        uint32 // of a page
	root, freelist, pages, txid uint64
}

func readMeta(file io.ReaderAt, at int64) (m meta, ok bool) {
	var b [metaLen]byte
	if _, err := file.ReadAt(b[:], at+pageHeader); err != nil {
		return m, false
	}
	h := fnv.New64a()
	h.Write(b[:metaLen-8])
	m = meta{size: order.Uint32(b[8:]), root: order.Uint64(b[16:]), freelist: order.Uint64(b[32:]),
		pages: order.Uint64(b[40:]), txid: order.Uint64(b[48:])}
	ok = order.Uint32(b[0:]) == metaMagic && order.Uint32(b[4:]) == metaVersion && order.Uint64(b[56:]) == h.Sum64()
	return m, ok && m.size >= minPage
}

// newest returns the newer of the two metas. The first says where the second is,
// unless it is broken.
func newest(file io.ReaderAt) (meta, error) {
	first, ok := readMeta(file, 0)
	from, to := uint32(minPage), uint32(maxPage)
	if ok {
		from, to = first.size, first.size
	}
	for size := from; size <= to; size *= 2 {
		second, also := readMeta(file, int64(size))
		if also && second.size == size && (!ok || second.txid > first.txid) {
			return second, nil
		}
	}
	if !ok {
		return first, errors.New("neither meta page is valid")
	}
	return first, nil
}

// newTree makes ready to read a file. bytes is its length.
func newTree(file io.ReaderAt, bytes int64) (*tree, error) {
	m, err := newest(file)
	if err != nil {
		return nil, err
	}
	return &tree{meta: m, file: file, claimed: make([]bool, min(m.pages, uint64(bytes)/uint64(m.size)))}, nil
}

// check checks the whole file.
func (t *tree) check() error {
	if there := uint64(len(t.claimed)); there < t.pages {
		return fmt.Errorf("it has %d pages of %d", there, t.pages)
	}
	if err := t.page(t.root, nil, nil, 0); err != nil {
		return err
	}
	if err := t.free(); err != nil {
		return err
	}
	for id := uint64(2); id < t.pages; id++ {
		if !t.claimed[id] {
			return fmt.Errorf("page %d is neither in use nor free", id)
		}
	}
	return nil
}

func (t *tree) claim(id uint64) error {
	if id < 2 || id >= uint64(len(t.claimed)) || t.claimed[id] {
		return fmt.Errorf("page %d is out of bounds, or in two places", id)
	}
	t.claimed[id] = true
	return nil
}

// read claims a page with those that it overflows to, and returns their bytes.
func (t *tree) read(id uint64) ([]byte, error) {
	if err := t.claim(id); err != nil {
		return nil, err
	}
	page := make([]byte, t.size)
	if _, err := t.file.ReadAt(page, int64(id)*int64(t.size)); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	more := uint64(order.Uint32(page[12:]))
	if order.Uint64(page) != id || more >= uint64(len(t.claimed))-id {
		return nil, fmt.Errorf("page %d says that it is %d and %d more", id, order.Uint64(page), more)
	}
	for i := range more {
		if err := t.claim(id + 1 + i); err != nil {
			return nil, err
		}
	}
	rest := make([]byte, more*uint64(t.size))
	if _, err := t.file.ReadAt(rest, int64(id+1)*int64(t.size)); err != nil && more > 0 {
		return nil, fmt.Errorf("read %d pages after page %d: %w", more, id, err)
	}
	return append(page, rest...), nil
}

// page checks a tree from its root or another page down. All its keys are from
// low on and below high; nil is no bound.
func (t *tree) page(id uint64, low, high []byte, depth int) error {
	if depth > maxTree {
		return fmt.Errorf("page %d lies too deep", id)
	}
	data, err := t.read(id)
	if err != nil {
		return err
	}
	if err := t.node(data, low, high, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// node checks a page's bytes and what is below it.
func (t *tree) node(data []byte, low, high []byte, depth int) error {
	elements, leaf, err := parse(data)
	if err != nil {
		return err
	}
	for i, e := range elements {
		if i > 0 && bytes.Compare(elements[i-1].key, e.key) >= 0 || low != nil && bytes.Compare(e.key, low) < 0 ||
			high != nil && bytes.Compare(e.key, high) >= 0 {
			return fmt.Errorf("key %q is out of order", e.key)
		}
		next := high
		if i+1 < len(elements) {
			next = elements[i+1].key
		}
		switch {
		case !leaf:
			err = t.page(e.below, e.key, next, depth+1)
		case e.flags == isBucket:
			err = t.bucket(e.value, depth+1)
		case e.flags != 0:
			err = fmt.Errorf("key %q has flags %#x", e.key, e.flags)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket, which has a tree of its own or lies in its value.
func (t *tree) bucket(value []byte, depth int) error {
	if len(value) < bucketLen {
		return errors.New("a bucket is cut short")
	}
	if root := order.Uint64(value); root != 0 {
		return t.page(root, nil, nil, depth)
	}
	if depth > maxTree {
		return errors.New("a bucket lies too deep")
	}
	return t.node(value[bucketLen:], nil, nil, depth)
}

// free claims the free pages.
func (t *tree) free() error {
	data, err := t.read(t.freelist)
	if err != nil {
		return err
	}
	if flags := order.Uint16(data[8:]); flags != freelistFlag {
		return fmt.Errorf("page %d is not the list of free pages: flags %#x", t.freelist, flags)
	}
	free, count := data[pageHeader:], uint64(order.Uint16(data[10:]))
	if count == 0xffff { // then the first element is the count
		count, free = order.Uint64(free), free[8:]
	}
	if count > uint64(len(free)/8) {
		return fmt.Errorf("the list of free pages has no room for %d", count)
	}
	for i := range count {
		if err := t.claim(order.Uint64(free[8*i:])); err != nil {
			return fmt.Errorf("list of free pages: %w", err)
		}
	}
	return nil
}
