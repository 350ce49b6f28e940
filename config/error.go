package config

import (
	"fmt"
	"strings"
	"unicode"
)

// An Error says why a configuration cannot be used. Every error of Load and
// Parse is one. Its text is a single line without control characters.
type Error struct {
	// File is the name of the file as the caller gave it.
	File string
	// Key is the dotted name of the key at fault; empty if the file cannot be
	// read or is not TOML.
	Key string
	// Reason is for people.
	Reason string

	cause error
}

func (e *Error) Error() string {
	if e.Key == "" {
		return oneLine(e.File + ": " + e.Reason)
	}
	return oneLine(e.File + ": " + e.Key + ": " + e.Reason)
}

// Unwrap returns the error of the operating system if the file could not be read.
func (e *Error) Unwrap() error { return e.cause }

// maxError is about how long an error is at most, in bytes. It is cut in the
// middle, since the file's name and the reason stand at its ends.
const maxError = 1024

// oneLine makes what cannot be printed visible and cuts what is too long: keys,
// values and file names are quoted from outside and may hold anything.
func oneLine(s string) string {
	if len(s) > maxError {
		s = s[:maxError/2] + " ... " + s[len(s)-maxError/2:]
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
