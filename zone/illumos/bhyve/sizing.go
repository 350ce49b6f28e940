package bhyve

import "fmt"

const (
	// granule divides every size of a reservoir. It is the size of a large page, so
	// that guests' memory can be mapped with large pages.
	granule = 2 << 20
	// chunk is the largest step of a resize. The kernel zeroes each added byte, so
	// small steps keep each one short.
	chunk = 1 << 30
)

// A Size is the configured size of a reservoir, in one of two ways.
type Size struct {
	// Bytes is the size, unless it is 0.
	Bytes uint64
	// Percent is the size as a percentage of physical memory if Bytes is 0.
	Percent int
}

// Target returns the size in bytes for a host with this much physical memory,
// rounded down to a multiple of 2 MiB. The zero Size is no reservoir: 0 bytes.
func (s Size) Target(physical uint64) (uint64, error) {
	target := s.Bytes
	switch {
	case s.Bytes != 0 && s.Percent != 0:
		return 0, fmt.Errorf("size reservoir: give bytes or percent, not %d bytes and %d percent", s.Bytes, s.Percent)
	case s.Percent < 0 || s.Percent > 99:
		return 0, fmt.Errorf("size reservoir: %d percent of memory, want 0 to 99", s.Percent)
	case s.Bytes == 0:
		// Not physical*percent/100, which could overflow.
		percent := uint64(s.Percent)
		target = physical/100*percent + physical%100*percent/100
	}
	if target >= physical && target > 0 {
		return 0, fmt.Errorf("size reservoir: %d bytes on a host with %d", target, physical)
	}
	return align(target), nil
}

func align(size uint64) uint64 { return size - size%granule }

// step returns the next size on the way from size to target: a multiple of granule,
// at most a chunk away. target must be a multiple of granule.
func step(size, target uint64) uint64 {
	switch {
	case size < target && target-size > chunk:
		return align(size + chunk)
	case size > target && size-target > chunk:
		return align(size - chunk + granule - 1)
	}
	return target
}
