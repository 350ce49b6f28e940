package bhyve

import "fmt"

const (
	// granule is what a reservoir's size is a multiple of: a large page, so that
	// guests' memory can be mapped by such.
	granule = 2 << 20
	// chunk is the most that one step of a resize adds or gives back. Each byte
	// added is zeroed, so a step is kept to what takes moments.
	chunk = 1 << 30
)

// A Size is how large a reservoir is to be, in one of two ways.
type Size struct {
	// Bytes, if it is not 0, is the size itself.
	Bytes uint64
	// Percent of physical memory counts when Bytes is 0.
	Percent int
}

// Target returns the size in bytes on a host with so much physical memory,
// rounded down to the granule of 2 MiB. The zero Size is no reservoir: 0 bytes.
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

// step returns the size to go to next on the way from one size to another, at
// most a chunk away and on a granule. The target is on one.
func step(size, target uint64) uint64 {
	switch {
	case size < target && target-size > chunk:
		return align(size + chunk)
	case size > target && size-target > chunk:
		return align(size - chunk + granule - 1)
	}
	return target
}
