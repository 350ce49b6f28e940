package dropshot

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sledagent/sledagent/internal/plain"
)

// An Invalid is why a body is refused.
type Invalid struct {
	// Path is the field's path, as in "local_config.nics[0].mac"; empty for the body as
	// a whole.
	Path string
	// Want is what was expected, Got what was found. Got is cut, since bodies contain
	// keys and user data.
	Want, Got string
	// Offset is where the reading ended, in bytes from the start of the body.
	Offset int64
}

func (e *Invalid) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("at byte %d: want %s, got %s", e.Offset, e.Want, e.Got)
	}
	return fmt.Sprintf("%s: want %s, got %s", e.Path, e.Want, e.Got)
}

// maxShown is the maximum length of a value or a key in an error, in bytes.
const maxShown = 51

// cut shortens s to maxShown, at a character boundary.
func cut(s string) string { return plain.Clip(s, maxShown) }

// Key appends the key of a member to a path, quoted if it would be ambiguous.
func Key(path, key string) string {
	simple := key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`.[]"`, r)
	})
	switch {
	case !simple:
		return path + "[" + strconv.Quote(cut(key)) + "]"
	case path == "":
		return cut(key)
	}
	return path + "." + cut(key)
}

// item appends the index of an item to a path.
func item(path, index string) string { return path + "[" + index + "]" }
