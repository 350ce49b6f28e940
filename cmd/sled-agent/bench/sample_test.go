package bench

import (
	"slices"
	"testing"
	"time"
)

// sample is a set of measured times.
type sample []time.Duration

// median returns the median, for an even number the later of the two middle values.
func (s sample) median() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s))[len(s)/2]
}

func (s sample) max() time.Duration {
	if len(s) == 0 {
		return 0
	}
	return slices.Max(s)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// metrics reports the metrics without ns/op, which would mostly be the set-up time of rounds.
func metrics(b *testing.B, all map[string]float64) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	for unit, v := range all {
		b.ReportMetric(v, unit)
	}
}
