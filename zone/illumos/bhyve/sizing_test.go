package bhyve

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

const gib = 1 << 30

func TestTarget(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		size     Size
		physical uint64
		want     uint64
		fails    bool
	}{
		{Size{}, 64 * gib, 0, false},
		{Size{Bytes: 10 * gib}, 64 * gib, 10 * gib, false},
		{Size{Bytes: 10*gib + granule - 1}, 64 * gib, 10 * gib, false},
		{Size{Bytes: granule - 1}, 64 * gib, 0, false},
		{Size{Percent: 50}, 64 * gib, 32 * gib, false},
		{Size{Percent: 80}, 1000 * granule, 800 * granule, false},
		{Size{Percent: 33}, 64*gib + 12345, 22676504576, false},
		{Size{Percent: 99}, math.MaxUint64, math.MaxUint64 / 100 * 99 &^ (granule - 1), false},
		{Size{Percent: 100}, 64 * gib, 0, true},
		{Size{Percent: -1}, 64 * gib, 0, true},
		{Size{Bytes: 64 * gib}, 64 * gib, 0, true},
		{Size{Bytes: gib, Percent: 10}, 64 * gib, 0, true},
	} {
		got, err := v.size.Target(v.physical)
		if (err != nil) != v.fails || got != v.want {
			t.Errorf("%+v of %d: %d, %v; want %d", v.size, v.physical, got, err, v.want)
		}
	}
}

func TestStepsReachTheTarget(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const most = 64 * gib
		size := rapid.Uint64Range(0, most).Draw(t, "size")
		target := align(rapid.Uint64Range(0, most).Draw(t, "target"))
		for steps := 0; size != target; steps++ {
			next := step(size, target)
			away := max(next, size) - min(next, size)
			if away == 0 || away > chunk || next%granule != 0 || steps > most/chunk+2 {
				t.Fatalf("step %d from %d to %d on the way to %d", steps, size, next, target)
			}
			if (next > size) != (target > size) || (target > size) != (next <= target) && next != target {
				t.Fatalf("from %d to %d leads away from %d", size, next, target)
			}
			size = next
		}
	})
}
