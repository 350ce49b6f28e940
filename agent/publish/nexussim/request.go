package nexussim

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// APIVersion is the newest version of the internal API that is served.
const APIVersion = "1.0.0"

// MaxBody is the largest request body in bytes, as Nexus is configured.
const MaxBody = 1 << 20

// readUpdate reads a request of the internal API. It returns as much as could
// be read and the first problem, in the order in which dropshot finds them:
// version, path, method, parameter, body.
func readUpdate(r *http.Request) (id uuid.UUID, rec *vmm.Record, p *problem) {
	if p := checkVersion(r.Header); p != nil {
		return uuid.Nil, nil, p
	}
	segments, p := pathSegments(r.URL)
	if p != nil {
		return uuid.Nil, nil, p
	}
	if len(segments) != 2 || segments[0] != "vmms" {
		return uuid.Nil, nil, &problem{status: http.StatusNotFound, message: "Not Found"}
	}
	if r.Method != http.MethodPut {
		return uuid.Nil, nil, &problem{status: http.StatusMethodNotAllowed, message: "Method Not Allowed", allow: http.MethodPut}
	}
	id, err := uuid.Parse(segments[1])
	if err != nil {
		return uuid.Nil, nil, bad("bad parameter in URL path: propolis_id: " + err.Error())
	}
	body, p := readBody(r)
	if p != nil {
		return id, nil, p
	}
	if p := checkContentType(r.Header); p != nil {
		return id, nil, p
	}
	decoded, err := decodeRecord(body)
	if err != nil {
		return id, nil, bad("unable to parse JSON body: " + err.Error())
	}
	return id, &decoded, nil
}

// checkVersion applies dropshot's policy for APIs whose server is updated
// before its clients: any version up to the newest is served.
func checkVersion(h http.Header) *problem {
	values := h.Values("api-version")
	if len(values) == 0 {
		return bad(`missing expected header "api-version"`)
	}
	v, err := parseSemver(values[0])
	if err != nil {
		return bad(fmt.Sprintf(`bad value for header "api-version": %v: %q`, err, values[0]))
	}
	if v.newerThan(newest) {
		return bad("server does not support this API version: " + values[0])
	}
	return nil
}

// A semver is a version's three numbers. The rest of it cannot make it newer
// than a release of the same numbers.
type semver [3]uint64

var newest = semver{1, 0, 0}

func parseSemver(s string) (v semver, err error) {
	s, _, _ = strings.Cut(s, "+")
	core, pre, hasPre := strings.Cut(s, "-")
	if hasPre && pre == "" {
		return v, errors.New("empty identifier segment in pre-release identifier")
	}
	parts := strings.Split(core, ".")
	if len(parts) != len(v) {
		return v, errors.New("expected three numbers, separated by periods")
	}
	for i, part := range parts {
		if v[i], err = strconv.ParseUint(part, 10, 64); err != nil || len(part) > 1 && part[0] == '0' {
			return v, fmt.Errorf("invalid number %q", part)
		}
	}
	return v, nil
}

// newerThan compares with a release.
func (v semver) newerThan(release semver) bool {
	return slices.Compare(v[:], release[:]) > 0
}

// pathSegments splits a path as dropshot's router does: at slashes first, then
// each segment is decoded. Empty segments do not count.
func pathSegments(u *url.URL) ([]string, *problem) {
	var out []string
	for raw := range strings.SplitSeq(u.EscapedPath(), "/") {
		if raw == "" {
			continue
		}
		segment, err := url.PathUnescape(raw)
		if err != nil {
			return nil, bad("bad path: " + err.Error())
		}
		if segment == "." || segment == ".." {
			return nil, bad("dot-segments are not permitted")
		}
		out = append(out, segment)
	}
	return out, nil
}

// readBody reads all of it, also what follows the JSON value: the limit counts
// every byte.
func readBody(r *http.Request) ([]byte, *problem) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	if err != nil {
		return nil, bad("error reading request body: " + err.Error())
	}
	if len(body) > MaxBody {
		return nil, bad(fmt.Sprintf("request body exceeded maximum size of %d bytes", MaxBody))
	}
	return body, nil
}

// checkContentType wants JSON; a request that names no type is taken for it,
// and parameters do not matter.
func checkContentType(h http.Header) *problem {
	value := h.Get("Content-Type")
	if value == "" {
		return nil
	}
	bare, _, _ := strings.Cut(value, ";")
	mediaType, _, err := mime.ParseMediaType(bare)
	if err != nil || mediaType != "application/json" {
		return bad(fmt.Sprintf(`expected content type "application/json", got %q`, strings.TrimSpace(bare)))
	}
	return nil
}
