package sim

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

// NewestVersion is the API version that is served unless Options say otherwise.
const NewestVersion = "6.0.0"

// A Version is a semantic version. Of the parts beyond the numbers only their
// absence matters here: a pre-release comes before its release.
type Version struct {
	number [3]uint64
	text   string
}

// versionPattern is that of semver 2.0.0: all three numbers, no leading zeros.
var versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?` +
	`(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// ParseVersion reads a full semantic version, as the api-version header has it.
func ParseVersion(text string) (Version, error) {
	parts := versionPattern.FindStringSubmatch(text)
	if parts == nil {
		return Version{}, fmt.Errorf("version %q: want MAJOR.MINOR.PATCH", text)
	}
	v := Version{text: text}
	for i := range v.number {
		n, err := strconv.ParseUint(parts[i+1], 10, 64)
		if err != nil {
			return Version{}, fmt.Errorf("version %q: %w", text, err)
		}
		v.number[i] = n
	}
	return v, nil
}

func (v Version) newerThan(other Version) bool {
	return slices.Compare(v.number[:], other.number[:]) > 0
}

// requestVersion reads the header that every request must carry.
func requestVersion(h http.Header, newest Version) (Version, *apiError) {
	values := h.Values("Api-Version")
	if len(values) == 0 {
		return Version{}, badRequest(`missing expected header "api-version"`)
	}
	v, err := ParseVersion(values[0])
	if err != nil {
		return Version{}, badRequest(fmt.Sprintf("bad value for header %q: %s", "api-version", values[0]))
	}
	if v.newerThan(newest) {
		return Version{}, badRequest("server does not support this API version: " + v.text)
	}
	return v, nil
}
