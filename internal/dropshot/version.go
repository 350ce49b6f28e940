package dropshot

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
)

// A Version is the three numbers of a semantic version. A pre-release precedes its
// release, so it is served if the release is.
type Version [3]uint64

// versionPattern is that of semver 2.0.0: all three numbers, no leading zeros.
var versionPattern = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?` +
	`(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

// ParseVersion reads a full semantic version, as the api-version header has it.
func ParseVersion(text string) (v Version, err error) {
	parts := versionPattern.FindStringSubmatch(text)
	if parts == nil {
		return v, fmt.Errorf("version %q: want MAJOR.MINOR.PATCH", text)
	}
	for i := range v {
		if v[i], err = strconv.ParseUint(parts[i+1], 10, 64); err != nil {
			return v, fmt.Errorf("version %q: %w", text, err)
		}
	}
	return v, nil
}

// RequestVersion reads the header that every request must have. It is checked before
// anything else: any version up to the newest is served, released or not.
func RequestVersion(h http.Header, newest Version) (Version, *Error) {
	values := h.Values("Api-Version")
	if len(values) == 0 {
		return Version{}, BadRequest(`missing expected header "api-version"`)
	}
	v, err := ParseVersion(values[0])
	if err != nil {
		return v, BadRequest(`bad value for header "api-version": ` + values[0])
	}
	if slices.Compare(v[:], newest[:]) > 0 {
		return v, BadRequest("server does not support this API version: " + values[0])
	}
	return v, nil
}
