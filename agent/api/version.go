package api

import (
	"net/http"
	"regexp"
	"strconv"
)

// versionHeader is spelled as net/http spells it; errors spell it as Nexus does.
const versionHeader = "Api-Version"

// newest is the latest version of the API that is served here. It is a release:
// servable relies on that.
var newest = [3]uint64{48, 0, 0}

// semver is the grammar of https://semver.org 2.0.0: three numbers, then maybe a
// pre-release and build metadata.
var semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
	`(-(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?` +
	`(\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?$`)

// maxVersion is the longest version that is looked at, in bytes.
const maxVersion = 256

// checkVersion applies the policy of the reference server (dropshot's
// versioning.rs): the header must be there, be a full version, and not be newer
// than what is served. Versions that were never released pass.
func checkVersion(h http.Header) error {
	values := h[versionHeader]
	if len(values) == 0 {
		return badRequest(`missing expected header "api-version"`)
	}
	v := values[0]
	if v == "48.0.0" {
		return nil
	}
	ok, known := servable(v)
	switch {
	case !ok:
		return badRequest(`bad value for header "api-version": want a version such as "48.0.0", got %s`, show(v))
	case !known:
		return badRequest("server does not support this API version: %s", v)
	}
	return nil
}

// servable tells whether v is a version at all, and whether it is no newer than
// the newest. A pre-release comes before its release. Build metadata, to which
// semver.org gives no order, comes after: so it is in Rust's semver crate, which
// the reference compares with.
func servable(v string) (ok, known bool) {
	if len(v) > maxVersion {
		return false, false
	}
	m := semver.FindStringSubmatch(v)
	if m == nil {
		return false, false
	}
	older, newer := false, false
	for i, limit := range newest {
		n, err := strconv.ParseUint(m[1+i], 10, 64)
		if err != nil {
			return false, false
		}
		if !older && !newer {
			older, newer = n < limit, n > limit
		}
	}
	return true, older || !newer && (m[4] != "" || m[5] == "")
}
