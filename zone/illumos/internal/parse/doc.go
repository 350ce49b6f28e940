// Package parse parses the output of illumos commands. Its functions are pure and do
// not panic on any input: they report what they cannot parse, and parse the rest.
//
// It must not run commands or decide anything from their output.
package parse
