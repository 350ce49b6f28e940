// Package logging is the agent's log: structured lines on standard error, in one
// of three formats.
//
// Logging never blocks, and no failure of standard error ends the agent: one
// goroutine writes the lines from a bounded queue. Lines beyond the bounds are
// dropped and counted. When writing fails, for example because the reader of a pipe
// has exited, lines go to a file of bounded size, and standard error is retried. The
// first line written afterwards reports how many are missing.
//
// The standard library logs through package log, even where no logger can be set
// (net/http.Transport). Capture makes those lines part of this log.
package logging
