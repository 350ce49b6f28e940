package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
)

// bbolt has checksums for its two meta pages only, so every value carries one of
// its own: a line of eight hexadecimal digits behind the JSON. It covers the
// value's place as well, so that a key that has changed is noticed too.

const sealLen = len("\n00000000")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mark is the checksum of a value at its place, as it stands behind the value.
func mark(bucket, key, data []byte) []byte {
	var sum uint32
	for _, part := range [][]byte{bucket, {0}, key, {0}, data} {
		sum = crc32.Update(sum, castagnoli, part)
	}
	return fmt.Appendf(nil, "\n%08x", sum)
}

// seal adds a value's checksum.
func seal(bucket, key, data []byte) []byte {
	return append(data[:len(data):len(data)], mark(bucket, key, data)...)
}

// unseal checks a value and returns it without its checksum. The bytes are the
// value's own.
func unseal(bucket, key, value []byte) ([]byte, error) {
	if value == nil {
		return nil, fmt.Errorf("no %s", key)
	}
	n := len(value) - sealLen
	if n < 0 || !bytes.Equal(mark(bucket, key, value[:n]), value[n:]) {
		return nil, fmt.Errorf("%s: %w", key, errSum)
	}
	return value[:n:n], nil
}

var errSum = errors.New("checksum does not match")
