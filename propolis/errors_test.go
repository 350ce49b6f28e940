package propolis

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Every status with every code.
func TestErrorKindTable(t *testing.T) {
	t.Parallel()
	type codes map[string]Kind
	none, there := codes{"NoInstance": NoInstance, "noinstance": NoInstance, " NOINSTANCE\n": NoInstance},
		codes{"AlreadyInitialized": AlreadyInitialized, "alreadyRUNNING ": AlreadyInitialized}
	byCode := map[int]codes{424: none, 410: none, 409: there}
	byStatus := func(status int) Kind {
		switch {
		case status == 503:
			return Unavailable
		case status/100 == 4:
			return Refused
		case status/100 == 5:
			return Broken
		}
		return Malformed
	}
	for status := 100; status <= 999; status++ {
		for _, code := range []string{"NoInstance", "noinstance", " NOINSTANCE\n", "AlreadyInitialized", "alreadyRUNNING ",
			"", "Internal", "NoInstanceAtAll", "CreateFailed", "NO_SUCH_INSTANCE",
			"instance state change not allowed: Instance is currently starting"} {
			for _, whole := range []bool{true, false} {
				want, ok := byCode[status][code]
				if !ok || !whole {
					want = byStatus(status)
				}
				if got := errorKind(status, errorBody{code: code, message: "m", whole: whole}); got != want {
					t.Errorf("status %d, code %q, whole %v: got %q, want %q", status, code, whole, got, want)
				}
			}
		}
	}
}

// Every final status through the real transport.
func TestStatusesOverHTTP(t *testing.T) {
	t.Parallel()
	c := serve(t, Options{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var want struct{ Gen int }
		json.Unmarshal(body, &want)
		w.Header().Set("Location", "://nowhere")
		w.WriteHeader(want.Gen % 1000)
		if want.Gen > 1000 {
			io.WriteString(w, `{"request_id":"x","error_code":"NoInstance","message":"no"}`)
		}
	})
	for status := 200; status <= 599; status++ {
		for _, code := range []string{"", "NoInstance"} {
			gen, want := uint64(status), errorKind(status, errorBody{code: code, whole: code != ""})
			if code != "" {
				gen += 1000
			}
			// 200 without a body, or with one that is not an observation, is Malformed too.
			_, err := c.Monitor(t.Context(), gen)
			if status == 204 || status == 304 {
				want = Malformed // net/http sends no body with these statuses
			}
			if got := KindOf(err); got != want {
				t.Errorf("status %d, code %q: got %q (%v), want %q", status, code, got, err, want)
			}
		}
	}
}

func TestErrorIsOneLine(t *testing.T) {
	t.Parallel()
	cause := errors.New("line one\nline two")
	for _, e := range []*Error{
		{Op: "PUT /instance/state Stop", Status: 424, Code: "NoInstance", Message: "Server not initialized", Kind: NoInstance},
		{Op: "GET /instance", Kind: Timeout, Err: cause},
		{Op: "GET /instance", Kind: Kind(99)},
	} {
		if strings.ContainsFunc(e.Error(), unicode.IsControl) {
			t.Errorf("%q is more than one line", e.Error())
		}
	}
	e := &Error{Op: "PUT /instance/state Stop", Status: 424, Code: "NoInstance", Message: "no VM", Kind: NoInstance}
	if got, want := e.Error(), "PUT /instance/state Stop: no instance (status 424): NoInstance: no VM"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	wrapped := fmt.Errorf("stop VMM: %w", &Error{Kind: Timeout, Err: cause})
	if !errors.Is(wrapped, cause) {
		t.Error("the cause cannot be reached through the error")
	}
	wantKind(t, wrapped, Timeout)
	wantKind(t, nil, 0)
	wantKind(t, cause, 0)
}

func TestReadErrorBody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]errorBody{
		`{"request_id":"r","error_code":"NoInstance","message":"gone"}`: {"NoInstance", "gone", true},
		`{"request_id":"r","message":"gone"}`:                           {"", "gone", true},
		`{"error_code":"NoInstance","message":"gone"}`:                  {"NoInstance", "gone", false},
		`{"request_id":"r","error_code":"NoInstance"}`:                  {"NoInstance", "", false},
		`{"request_id":7,"error_code":"NoInstance","message":"gone"}`:   {"NoInstance", "gone", false},
		`{"error_code":5,"message":"gone"}`:                             {"", "gone", false},
		`{"error_code":1e999,"message":"gone"}`:                         {"", "gone", false},
		`{"error_code":"NoInstance","message":["x"]}`:                   {"NoInstance", "", false},
		`{"error_code":" NoInstance ","message":"a\nb\u0007"}`:          {"NoInstance", "a b?", false},
		`{"error_code":null}`:                                           {},
		`"NoInstance"`:                                                  {},
		`<html>502 Bad Gateway</html>`:                                  {},
		`{"error_code":"NoInstance"} x`:                                 {},
		``:                                                              {},
	} {
		if got := readErrorBody([]byte(body)); got != want {
			t.Errorf("%s: got %+v, want %+v", body, got, want)
		}
	}
}

func FuzzErrorBody(f *testing.F) {
	f.Add([]byte(`{"request_id":"r","error_code":"NoInstance","message":"gone"}`))
	f.Add([]byte(`{"error_code":{"error_code":"NoInstance"},"message":1e400}`))
	f.Add([]byte("{\"error_code\":\"\xff\xfe\u2028\",\"message\":\"" + strings.Repeat("\u20ac", 300) + `"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e := readErrorBody(body)
		for _, text := range []string{e.code, e.message} {
			if len(text) > maxText || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q is not fit for a log", text)
			}
		}
		if kind := errorKind(424, e); kind == NoInstance && !strings.EqualFold(e.code, "NoInstance") {
			t.Errorf("code %q was taken for NoInstance", e.code)
		}
	})
}
