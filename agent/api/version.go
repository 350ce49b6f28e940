package api

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"github.com/sledagent/sledagent/agent/wire"
)

// versionHeader is in net/http's spelling; error messages use Nexus's.
const versionHeader = "Api-Version"

// newest is the latest supported version of the API. It must be a release: servable
// relies on that.
var newest = [3]uint64{wire.Newest, 0, 0}

// newestVersion is newest as text, which is what Client sends.
var newestVersion = fmt.Sprintf("%d.0.0", wire.Newest)

// semver is the grammar of https://semver.org 2.0.0: three numbers, optionally a
// pre-release and build metadata.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$`)

// maxVersion is the maximum length of a version, in bytes.
const maxVersion = 256

// readVersion applies the policy of the reference server (dropshot's versioning.rs): the
// header is required, must be a full version, and must not be newer than the supported
// one. Versions that were never released pass. Only the first number matters afterwards.
func readVersion(h http.Header) (uint64, error) {
	values := h[versionHeader]
	if len(values) == 0 {
		return 0, badRequest(`missing expected header "api-version"`)
	}
	v := values[0]
	if last := lastVersion.Load(); last != nil && last.text == v {
		return last.first, nil
	}
	first, ok, known := servable(v)
	switch {
	case !ok:
		return 0, badRequest(`bad value for header "api-version": want a version such as %q, got %s`, newestVersion, show(v))
	case !known:
		return 0, badRequest("server does not support this API version: %s", v)
	}
	lastVersion.Store(&version{v, first})
	return first, nil
}

// A version is one that a request may have.
type version struct {
	text  string
	first uint64
}

// lastVersion is that of the last request, which is nearly always that of the next one.
var lastVersion atomic.Pointer[version]

// servable reports whether v is a version, and whether it is not newer than the newest,
// and returns its first number. A pre-release precedes its release, so that the first
// number is one less for that of a new one. Build metadata, which semver.org does not
// order, follows it, as in Rust's semver crate, which the reference uses.
func servable(v string) (first uint64, ok, known bool) {
	if len(v) > maxVersion {
		return 0, false, false
	}
	m := semver.FindStringSubmatch(v)
	if m == nil {
		return 0, false, false
	}
	var given [3]uint64
	for i := range given {
		var err error
		if given[i], err = strconv.ParseUint(m[1+i], 10, 64); err != nil {
			return 0, false, false
		}
	}
	order, first := slices.Compare(given[:], newest[:]), given[0]
	if m[4] != "" && given[1] == 0 && given[2] == 0 && first > 0 {
		first--
	}
	return first, true, order < 0 || order == 0 && (m[4] != "" || m[5] == "")
}

// versionOf returns the version of a request that has passed prepare.
func versionOf(c echo.Context) uint64 {
	v, _ := readVersion(c.Request().Header)
	return v
}
