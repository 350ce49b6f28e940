package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/api"
	"github.com/sledagent/sledagent/agent/wire"
)

func TestVersionPolicy(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	for _, tt := range []struct {
		version, refusal string
	}{
		{"", `missing expected header "api-version"`},
		{"54.0.0", ""},
		{"48.0.0", ""},
		{"47.3.0", ""},
		{"1.0.0", ""},
		{"0.0.0", ""},
		{"47.99999999999.0", ""},
		{"54.0.0-rc.1", ""},
		{"54.0.0-rc.1+build", ""},
		{"47.9.9+build.007", ""},
		{"54.0.0+build", "server does not support this API version: 54.0.0+build"},
		{"54.0.1", "server does not support this API version: 54.0.1"},
		{"54.0.1-alpha", "server does not support this API version: 54.0.1-alpha"},
		{"54.1.0", "server does not support this API version: 54.1.0"},
		{"55.0.0", "server does not support this API version: 55.0.0"},
		{"18446744073709551615.0.0", "server does not support this API version"},
		{"18446744073709551616.0.0", "bad value for header"},
		{"48", "bad value for header"},
		{"48.0", "bad value for header"},
		{"48.0.0.0", "bad value for header"},
		{"048.0.0", "bad value for header"},
		{"48.0.00", "bad value for header"},
		{"v48.0.0", "bad value for header"},
		{"48.0.0-", "bad value for header"},
		{"48.0.0-01", "bad value for header"},
		{"48.0.0-a..b", "bad value for header"},
		{"48.0.0+", "bad value for header"},
		{"-1.0.0", "bad value for header"},
		{"48.0.0 x", "bad value for header"},
		{"４8.0.0", "bad value for header"},
		{strings.Repeat("4", 5000) + ".0.0", "bad value for header"},
	} {
		r := s.do("GET", "/sled-identifiers", "", "api-version", tt.version)
		if tt.refusal == "" {
			if r.StatusCode != http.StatusOK {
				t.Errorf("version %.60q: %d %s", tt.version, r.StatusCode, r.body)
			}
			continue
		}
		code, message := r.failed(t)
		if r.StatusCode != 400 || code != "" || !strings.Contains(message, tt.refusal) || len(message) > 300 {
			t.Errorf("version %.60q: %d %q %q; want 400 %q", tt.version, r.StatusCode, code, message, tt.refusal)
		}
	}
}

// An empty header is present and invalid.
func TestEmptyVersion(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	req, _ := http.NewRequest("GET", "http://"+s.addr+"/zones", nil)
	req.Header["Api-Version"] = []string{""}
	r := s.send(req)
	if _, message := r.failed(t); r.StatusCode != 400 || !strings.Contains(message, `bad value for header "api-version"`) {
		t.Errorf("got %d %q", r.StatusCode, message)
	}
}

// The version is checked before the path: for a request in an unknown version the paths
// are unknown.
func TestVersionComesBeforeRouting(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	for _, path := range []string{"/nowhere", "/vmms/x/state", "/a/../b"} {
		r := s.do("PATCH", path, "", "api-version", "")
		if _, message := r.failed(t); r.StatusCode != 400 || message != `missing expected header "api-version"` {
			t.Errorf("PATCH %s: %d %q", path, r.StatusCode, message)
		}
	}
}

// A path that a version does not have yet is unknown there, with every method.
func TestPathsOfLaterVersions(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	for _, tt := range []struct {
		path, version string
		status        int
	}{
		{"/multicast-group", "6.9.9", 404},
		{"/multicast-group", "7.0.0-rc.1", 404},
		{"/attached-subnets", "17.0.0", 404},
		{"/attached-subnets/192.0.2.0%2F28", "1.0.0", 404},
		{"/state", "1.0.0", 405},
		{"/state", "0.0.0", 405},
	} {
		for _, method := range []string{"PATCH", "PUT"} {
			if method == "PUT" && tt.status != 404 {
				continue
			}
			r := s.do(method, vmmURL+tt.path, "", "api-version", tt.version)
			if code, _ := r.failed(t); r.StatusCode != tt.status || code != "" {
				t.Errorf("%s %s at %s: %d %q, want %d", method, tt.path, tt.version, r.StatusCode, code, tt.status)
			}
		}
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	r := serve(t, &fakeAgent{}, api.Options{}).do("GET", "/openapi.json", "", "api-version", "")
	if r.StatusCode != http.StatusOK || r.body != string(wire.Document()) || r.Header.Get("content-type") != "application/json" {
		t.Errorf("got %d %s %.80s", r.StatusCode, r.Header.Get("content-type"), r.body)
	}
}
