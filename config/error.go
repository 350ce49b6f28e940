package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// An Error is one error of a configuration. The errors of Load and Parse consist of these.
// Its text is a single line without control characters.
type Error struct {
	File   string // as given by the caller
	Key    string // dotted; empty if the file cannot be read or is not TOML
	Reason string // for people

	cause error
}

func (e *Error) Error() string {
	if e.Key == "" {
		return oneLine(e.File + ": " + e.Reason)
	}
	return oneLine(e.File + ": " + e.Key + ": " + e.Reason)
}

// Unwrap returns the operating system's error if the file could not be read.
func (e *Error) Unwrap() error { return e.cause }

// Transient reports whether the file could not be read for a reason that may pass: a lack
// of descriptors or memory, or an error of the disk.
func (e *Error) Transient() bool {
	return e.cause != nil && !slices.ContainsFunc(permanent, func(p error) bool { return errors.Is(e.cause, p) })
}

// permanent are the operating system's errors that last until the path, the file or its
// permissions are changed.
var permanent = []error{unix.ENOENT, unix.ENOTDIR, unix.EISDIR, unix.EACCES, unix.EPERM, unix.ELOOP, unix.ENAMETOOLONG,
	unix.EINVAL, unix.ENXIO, unix.ENODEV, unix.EOVERFLOW, os.ErrInvalid}

// maxErrors is how many errors of a file are reported.
const maxErrors = 50

// joined combines the errors of the file name into one error.
func joined(name string, errs []*Error) error {
	if more := len(errs) - maxErrors; more > 0 {
		errs = append(errs[:maxErrors:maxErrors], &Error{Reason: fmt.Sprintf("%d more errors", more)})
	}
	all := make([]error, len(errs))
	for i, e := range errs {
		e.File = name
		all[i] = e
	}
	return errors.Join(all...)
}

// maxError is the approximate maximum length of an error in bytes. It is cut in the middle,
// since the file's name and the reason are at its ends.
const maxError = 1024

// oneLine escapes unprintable characters and shortens long text: keys, values and file names
// come from outside and may contain anything.
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
