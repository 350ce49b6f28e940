package wire

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Error is a body that cannot be accepted, and why.
type Error struct {
	// Path names the field as in "local_config.nics[0].mac"; empty for the body
	// as a whole.
	Path string
	// Want says what has to be there, Got what was there. Got is cut to a few
	// words, since bodies hold keys and user data.
	Want, Got string
	// Offset is where in the body the decoder was, in bytes from its start.
	Offset int64
}

func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("at byte %d: want %s, got %s", e.Offset, e.Want, e.Got)
	}
	return fmt.Sprintf("%s: want %s, got %s", e.Path, e.Want, e.Got)
}

// in puts the field key in front of the error's path. A nil error stays nil.
func (e *Error) in(key string) *Error {
	if e == nil {
		return nil
	}
	return e.under(showKey(key))
}

// item puts the list index i in front of the error's path.
func (e *Error) item(i int) *Error {
	if e == nil {
		return nil
	}
	return e.under("[" + strconv.Itoa(i) + "]")
}

func (e *Error) under(step string) *Error {
	switch {
	case e.Path == "":
		e.Path = step
	case e.Path[0] == '[':
		e.Path = step + e.Path
	default:
		e.Path = step + "." + e.Path
	}
	return e
}

// maxShown is how much of a value or a key an error shows, in bytes.
const maxShown = 48

// cut shortens s to what an error shows, never within a character.
func cut(s string) string {
	if len(s) <= maxShown {
		return s
	}
	end := maxShown
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// showKey writes a key as one step of a path. A key that could be taken for
// more than one step, or for none, is quoted.
func showKey(key string) string {
	plain := key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`.[]"`, r)
	})
	if plain {
		return cut(key)
	}
	return "[" + strconv.Quote(cut(key)) + "]"
}
