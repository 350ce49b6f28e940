package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/api"
)

func TestVersionPolicy(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	for _, tt := range []struct {
		version, refusal string
	}{
		{"", `missing expected header "api-version"`},
		{"48.0.0", ""},
		{"47.3.0", ""},
		{"1.0.0", ""},
		{"0.0.0", ""},
		{"47.99999999999.0", ""},
		{"48.0.0-rc.1", ""},
		{"48.0.0-rc.1+build", ""},
		{"47.9.9+build.007", ""},
		{"48.0.0+build", "server does not support this API version: 48.0.0+build"},
		{"48.0.1", "server does not support this API version: 48.0.1"},
		{"48.0.1-alpha", "server does not support this API version: 48.0.1-alpha"},
		{"48.1.0", "server does not support this API version: 48.1.0"},
		{"49.0.0", "server does not support this API version: 49.0.0"},
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

// An empty header is there, and bad.
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

// The version is judged before the path: a request in an unknown version says
// nothing of which paths there are.
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
