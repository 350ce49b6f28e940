package trial

import (
	"testing"
	"time"
)

func TestStallsCountWhereTheyOverlap(t *testing.T) {
	t.Parallel()
	t0 := time.Unix(1000, 0)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	var s stalls
	if got := s.between(at(0), at(1000), at(1000)); got != 0 {
		t.Errorf("before anybody looks: got %v", got)
	}
	for _, end := range []int{
		0, 20, // on time
		49,   // within what is usual
		169,  // 100 ms late
		1189, // 1 s late
	} {
		s.note(at(end))
	}
	const now = 1309 // The next probe is 100 ms late already.
	for _, v := range []struct {
		from, to int
		want     time.Duration
	}{
		{0, 40, 0},
		{0, 60, 11 * time.Millisecond},
		{100, 169, 69 * time.Millisecond},
		{100, 200, 100 * time.Millisecond},
		{0, 1200, 1111 * time.Millisecond},
		{500, 600, 100 * time.Millisecond},
		{1189, 1309, 100 * time.Millisecond},
		{1309, 5000, 0},
	} {
		if got := s.between(at(v.from), at(v.to), at(now)); got != v.want {
			t.Errorf("from %d to %d ms: got %v, want %v", v.from, v.to, got, v.want)
		}
	}
}
