package api

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// canonical returns the request with the path in the form that the router
// matches: the reference splits a path first and decodes its segments then, and
// skips empty ones. Segments stay encoded, so that none can look like two; the
// ids, which is all that is read from them, need no encoding.
func canonical(r *http.Request) (*http.Request, error) {
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.Path
	}
	if clean(path) {
		return r, nil
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" {
			continue
		}
		if r.URL.RawPath != "" {
			var err error
			if segment, err = url.PathUnescape(segment); err != nil {
				return nil, badRequest("bad path: %v", err)
			}
		}
		switch {
		case segment == "." || segment == "..":
			return nil, badRequest("bad path: dot-segments are not permitted")
		case !utf8.ValidString(segment):
			return nil, badRequest("bad path: a segment is not UTF-8")
		}
		b.WriteString("/" + url.PathEscape(segment))
	}
	if b.Len() == 0 {
		b.WriteByte('/')
	}
	copied, u := *r, *r.URL
	u.Path, u.RawPath = b.String(), ""
	copied.URL = &u
	return &copied, nil
}

// clean tells whether a path is canonical as it is: segments of letters, digits,
// '-' and '_', each behind one slash.
func clean(path string) bool {
	after := byte(0)
	for i := range len(path) {
		c := path[i]
		switch {
		case c == '/' && after != '/':
		case after == 0:
			return false
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		after = c
	}
	return len(path) == 1 || len(path) > 1 && after != '/'
}
