//go:build race

package runner

// With the race detector each order takes several times as long.
func init() { *depth-- }
