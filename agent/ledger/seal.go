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

func sum(bucket, key, data []byte) uint32 {
	return crc32.Checksum(bytes.Join([][]byte{bucket, key, data}, []byte{0}), castagnoli)
}

// seal adds a value's checksum.
func seal(bucket, key, data []byte) []byte {
	return fmt.Appendf(data, "\n%08x", sum(bucket, key, data))
}

// unseal checks a value and returns it without its checksum. The bytes are the
// value's own.
func unseal(bucket, key, value []byte) ([]byte, error) {
	if value == nil {
		return nil, fmt.Errorf("no %s", key)
	}
	n := len(value) - sealLen
	if n < 0 {
		return nil, fmt.Errorf("%s: too short for a checksum", key)
	}
	if data := value[:n:n]; bytes.Equal(seal(bucket, key, data)[n:], value[n:]) {
		return data, nil
	}
	return nil, fmt.Errorf("%s: %w", key, errSum)
}

var errSum = errors.New("checksum does not match")
