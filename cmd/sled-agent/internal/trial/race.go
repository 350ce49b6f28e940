//go:build race

package trial

// Race tells whether this program has the race detector.
const Race = true
