package api_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/api"
)

const limit = 1 << 20

// padded returns a registration of exactly that many bytes.
func padded(t *testing.T, size int) string {
	t.Helper()
	body := newBody()
	const field = `"later":"",`
	fill := size - len(body) - len(field)
	if fill < 0 {
		t.Fatalf("a registration has %d bytes already", len(body))
	}
	return `{"later":"` + strings.Repeat("x", fill) + `",` + body[1:]
}

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	const tooLarge = "request body exceeded maximum size of 1048576 bytes"
	for _, size := range []int{60_000, 64 << 10, 64<<10 + 1, 64<<10 + 2, 500_000, limit - 1, limit, limit + 1, limit + 2, limit + 300_000} {
		for _, chunked := range []bool{false, true} {
			f := &fakeAgent{}
			s := serve(t, f, api.Options{})
			var body io.Reader = strings.NewReader(padded(t, size))
			if chunked {
				body = io.MultiReader(body) // hides the length from net/http
			}
			req, _ := http.NewRequest("PUT", "http://"+s.addr+vmmURL, body)
			req.Header.Set("api-version", "48.0.0")
			r := s.send(req)
			if size <= limit {
				if r.StatusCode != 200 {
					t.Errorf("%d bytes (chunked %v): %d %s", size, chunked, r.StatusCode, r.body)
				}
				continue
			}
			if code, message := r.failed(t); r.StatusCode != 400 || code != "" || message != tooLarge || f.called() != "" {
				t.Errorf("%d bytes (chunked %v): %d %q %q, calls %q", size, chunked, r.StatusCode, code, message, f.called())
			}
		}
	}
}

func TestContentType(t *testing.T) {
	t.Parallel()
	for contentType, status := range map[string]int{
		"":                                  200,
		"application/json":                  200,
		"Application/JSON":                  200,
		"application/json; charset=utf-8":   200,
		"application/json ; x=y; z":         200,
		"text/plain":                        400,
		"application/jsonx":                 400,
		"application/x-www-form-urlencoded": 400,
		"; charset=utf-8":                   400,
	} {
		f := &fakeAgent{}
		r := serve(t, f, api.Options{}).do("PUT", stateURL, stateBody("stopped"), "content-type", contentType)
		if r.StatusCode != status || (f.called() != "") != (status == 200) {
			t.Errorf("content-type %q: %d %s, calls %q; want %d", contentType, r.StatusCode, r.body, f.called(), status)
		}
		if status != 200 {
			if _, message := r.failed(t); !strings.Contains(message, `expected content type "application/json", got`) {
				t.Errorf("content-type %q: %q", contentType, message)
			}
		}
	}
}

func TestBadBodies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ method, path, body, says string }{
		{"PUT", vmmURL, "", "unable to parse JSON body: at byte 0: want JSON, got the end of the body"},
		{"PUT", vmmURL, "null", "unable to parse JSON body: at byte 4: want an object, got null"},
		{"PUT", vmmURL, "[" + strings.Repeat("[", limit-1), "unable to parse JSON body: [0][0]"},
		{"PUT", vmmURL, strings.Replace(newBody(), `"slot":0`, `"slot":256`, 1), "unable to parse JSON body: local_config.nics[0].slot: want an integer"},
		{"PUT", stateURL, "", "unable to parse JSON body: at byte 0"},
		{"PUT", stateURL, "{}", "unable to parse JSON body: state: want an object"},
		{"PUT", stateURL, stateBody("destroyed"), `unable to parse JSON body: state.type: want one of`},
		{"PUT", stateURL, `{"state":{"type":"stopped"`, "unable to parse JSON body"},
		{"POST", snapURL, `{"snapshot_id":"x"}`, "unable to parse JSON body: snapshot_id: want a UUID"},
	} {
		f := &fakeAgent{}
		r := serve(t, f, api.Options{}).do(tt.method, tt.path, tt.body)
		if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, tt.says) || f.called() != "" {
			t.Errorf("%s %s %.40s: %d %q %.200q, calls %q; want %q", tt.method, tt.path, tt.body, r.StatusCode, code, message, f.called(), tt.says)
		}
	}
}

// Input after the first value is ignored.
func TestTrailingBytes(t *testing.T) {
	t.Parallel()
	f := &fakeAgent{}
	if r := serve(t, f, api.Options{}).do("PUT", stateURL, stateBody("stopped")+"}, and so on"); r.StatusCode != 200 {
		t.Errorf("got %d %s", r.StatusCode, r.body)
	}
}
