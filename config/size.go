package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// units are what a size may be written in, the largest first.
var units = []struct {
	name  string
	bytes uint64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}}

// byteSize reads a size such as "64GiB"; the empty string is none.
func byteSize(s string) (uint64, error) {
	if s == "" {
		return 0, nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err == nil && n > 0 && n <= math.MaxInt64/u.bytes {
			return n * u.bytes, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size; write for example \"64GiB\" (MiB, GiB or TiB)", s)
}

func formatByteSize(n uint64) string {
	for _, u := range units {
		if n > 0 && n%u.bytes == 0 {
			return strconv.FormatUint(n/u.bytes, 10) + u.name
		}
	}
	return ""
}
