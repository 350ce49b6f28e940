package api

import (
	"cmp"
	"net/url"
	"strings"
	"unicode/utf8"
)

// canonical converts a path to the form that the router matches. Like the reference it
// splits a path before decoding its segments, and skips empty ones. Segments stay
// encoded, so that none can become two; ids need no decoding.
func canonical(u *url.URL) error {
	path := u.RawPath
	if path == "" {
		path = u.Path
	}
	if clean(path) {
		return nil
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" {
			continue
		}
		if u.RawPath != "" {
			var err error
			if segment, err = url.PathUnescape(segment); err != nil {
				return badRequest("bad path: %v", err)
			}
		}
		switch {
		case segment == "." || segment == "..":
			return badRequest("bad path: dot-segments are not permitted")
		case !utf8.ValidString(segment):
			return badRequest("bad path: a segment is not UTF-8")
		}
		b.WriteString("/" + url.PathEscape(segment))
	}
	u.Path, u.RawPath = cmp.Or(b.String(), "/"), ""
	return nil
}

// clean reports whether a path is canonical already: segments of letters, digits, '-'
// and '_', each after one slash.
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
