package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/internal/plain"
)

// maxSaid bounds what an error quotes of a stream, in bytes.
const maxSaid = 2048

// printed is what a program printed on a stream, shortened.
func printed(stream *head) string {
	data, _ := stream.bytes()
	return plain.Text(plain.ClipMiddle(strings.TrimSpace(string(data)), maxSaid), maxSaid)
}

// An Error is the error of a failed run.
type Error struct {
	Argv []string
	// Exit is the exit code; 0 if there is none, -1 if a signal ended it.
	Exit int
	// Stderr is what the program printed, shortened.
	Stderr string
	Err    error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %v", strings.Join(e.Argv, " "), e.Err)
	if e.Stderr != "" {
		text += ": " + plain.Line(e.Stderr, maxSaid)
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Said reports whether err is from a program that printed one of these texts, ignoring
// case. Texts differ between releases, so this is a hint.
func Said(err error, texts ...string) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	printed := strings.ToLower(e.Stderr)
	for _, text := range texts {
		if strings.Contains(printed, strings.ToLower(text)) {
			return true
		}
	}
	return false
}

// Exit returns the exit code that err carries; 0 if it is of another kind.
func Exit(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Exit
	}
	return 0
}
