package life

import (
	"slices"
	"time"
)

// steps are the distances that ticks of an axis may have.
var steps = func() (all []time.Duration) {
	for d := time.Microsecond; d < time.Second; d *= 10 {
		all = append(all, d, 2*d, 5*d)
	}
	for _, seconds := range []int{1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800} {
		all = append(all, time.Duration(seconds)*time.Second)
	}
	for _, hours := range []int{1, 2, 3, 6, 12, 24, 48, 7 * 24, 14 * 24, 28 * 24} {
		all = append(all, time.Duration(hours)*time.Hour)
	}
	return all
}()

// Ticks returns the distances from the chart's beginning at which its axis has ticks, most
// at the most, and 0 first.
func (c Chart) Ticks(most int) []time.Duration {
	length := c.Length()
	ticks := []time.Duration{0}
	for _, step := range steps {
		if length/step < time.Duration(max(most, 1)) {
			for at := step; at <= length; at += step {
				ticks = append(ticks, at)
			}
			return ticks
		}
	}
	return ticks
}

// Length returns the time that the chart covers. It is positive.
func (c Chart) Length() time.Duration { return max(c.To.Sub(c.From), time.Microsecond) }

// Place returns where a time is in the chart, from 0 to 1.
func (c Chart) Place(t time.Time) float64 {
	return min(max(float64(t.Sub(c.From))/float64(c.Length()), 0), 1)
}

// has reports whether the chart has a bar of a kind.
func (c Chart) has(k Kind) bool {
	return slices.ContainsFunc(c.Rows, func(r Row) bool {
		return slices.ContainsFunc(r.Bars, func(b Bar) bool { return b.Kind == k })
	})
}

// Kinds returns the kinds of bars that the chart has.
func (c Chart) Kinds() (kinds []Kind) {
	return slices.DeleteFunc([]Kind{Done, Failed, Pending, Left}, func(k Kind) bool { return !c.has(k) })
}

// Name returns the kind for people.
func (k Kind) Name() string {
	if k == Pending {
		return "under way"
	}
	return string(k)
}

// Shows reports whether a time is in the chart.
func (c Chart) Shows(t *time.Time) bool { return t != nil && !t.Before(c.From) && !t.After(c.To) }
