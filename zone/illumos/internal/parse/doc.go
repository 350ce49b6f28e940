// Package parse reads what the commands of an illumos host print. Its functions
// are pure, and take any input without a panic: what they cannot read, they
// say, and read the rest.
//
// What must not live here: running the commands, and what follows from what
// they print.
package parse
