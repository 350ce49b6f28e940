package vmm

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRandomWalks takes long walks with time, which the exploration leaves out.
func TestRandomWalks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapid.Bool().Draw(t, "target"))
		now := epochStart
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "tick")))
			all := w.moves()
			m := all[rapid.IntRange(0, len(all)-1).Draw(t, "move")]
			next, err := w.take(m, now)
			if err != nil {
				t.Fatalf("%s%+v in %s: %v", m, m.in, w.s.Phase, err)
			}
			w = next
		}
	})
}

// FuzzStep decodes a walk from bytes: inputs and ticks.
func FuzzStep(f *testing.F) {
	f.Add(false, []byte{0, 1, 9, 1, 10, 1, 3, 200, 13, 1, 18, 1, 22, 1})
	f.Add(true, []byte{1, 1, 9, 1, 10, 1, 6, 1, 14, 2, 7, 1, 18, 1})
	f.Add(false, []byte{2, 0, 7, 0, 18, 0, 22, 0})
	f.Fuzz(func(t *testing.T, target bool, walk []byte) {
		w := newWorld(target)
		now := epochStart
		for ; len(walk) >= 2; walk = walk[2:] {
			all := w.moves()
			m := all[int(walk[0])%len(all)]
			now = now.Add(time.Duration(int8(walk[1])) * time.Minute)
			next, err := w.take(m, now)
			if err != nil {
				t.Fatalf("%s%+v in %s: %v", m, m.in, w.s.Phase, err)
			}
			w = next
		}
	})
}
