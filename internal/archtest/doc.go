// Package archtest checks the rules of the module that no linter can express: the
// state machine, agent/vmm, is pure (no I/O, no goroutine, no clock), every package
// has a doc comment and a meaningful name, and tests do not wait by sleeping.
//
// It parses every file whatever its build tags, so that files for illumos are checked
// on every system.
//
// Rules that a standard tool can check do not belong here. The allowed imports and the
// forbidden functions are in .golangci.yml.
package archtest
