//go:build !illumos || !cgo

package kstat

// New returns the source that this program was built with: the command kstat(8),
// run by run.
func New(run Runner) Source { return Command{Run: run} }
