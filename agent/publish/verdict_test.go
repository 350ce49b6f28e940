package publish

import (
	"net/http"
	"strings"
	"testing"
)

// The table of verdicts, with and without the contract's error body.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	want := func(status int) (byNexus, byOthers Verdict) {
		switch {
		case status == 204:
			return Acked, Acked
		case status == 404, status == 410:
			return Unknown, CannotTell
		case status >= 400 && status < 500 && status != 408 && status != 429:
			return Refused, CannotTell
		}
		return CannotTell, CannotTell
	}
	for status := range 1000 {
		byNexus, byOthers := want(status)
		if got := verdictOf(status, true); got != byNexus {
			t.Errorf("%d with the error body is %q, want %q", status, got, byNexus)
		}
		if got := verdictOf(status, false); got != byOthers {
			t.Errorf("%d without the error body is %q, want %q", status, got, byOthers)
		}
	}
}

func TestErrorBody(t *testing.T) {
	t.Parallel()
	const id = `"request_id":"b12d0c33-3a4e-4c2e-9d5f-3f5a1c7ad2f8"`
	for _, c := range []struct {
		name, ctype, body string
		want              bool
	}{
		{"dropshot's", "application/json", "{\n  " + id + ",\n  \"error_code\": \"Internal\",\n  \"message\": \"Not Found\"\n}", true},
		{"no code", "application/json", `{` + id + `,"message":"Not Found"}`, true},
		{"another order, charset", "application/json; charset=utf-8", `{"message":"Not Found",` + id + `}`, true},
		{"one more field", "application/json", `{` + id + `,"message":"m","docs":[]}`, true},
		{"short id", "application/json", `{"request_id":"r","message":"m"}`, true},
		{"empty", "", "", false},
		{"empty JSON", "application/json", "", false},
		{"nginx", "text/html", "<html><body><h1>404 Not Found</h1></body></html>", false},
		{"right body, other type", "text/plain", `{` + id + `,"message":"m"}`, false},
		{"right body, no type", "", `{` + id + `,"message":"m"}`, false},
		{"right body, broken type", "application/", `{` + id + `,"message":"m"}`, false},
		{"problem", "application/problem+json", `{"title":"Not Found","status":404}`, false},
		{"AWS", "application/json", `{"message":"Not Found"}`, false},
		{"no message", "application/json", `{` + id + `}`, false},
		{"Kong", "application/json; charset=utf-8",
			`{"message":"no Route matched with those values","request_id":"b12d0c333a4e4c2e9d5f3f5a1c7ad2f8"}`, false},
		{"null id", "application/json", `{"request_id":null,"message":"m"}`, false},
		{"id is a number", "application/json", `{"request_id":7,"message":"m"}`, false},
		{"message is an object", "application/json", `{` + id + `,"message":{}}`, false},
		{"code is a number", "application/json", `{` + id + `,"message":"m","error_code":404}`, false},
		{"code is null", "application/json", `{` + id + `,"message":"m","error_code":null}`, false},
		{"names in capitals", "application/json", `{"Request_ID":"x","Message":"m"}`, false},
		{"array", "application/json", `[{` + id + `,"message":"m"}]`, false},
		{"null", "application/json", `null`, false},
		{"text", "application/json", `"Not Found"`, false},
		{"cut off", "application/json", `{` + id + `,"message":"m"`, false},
		{"two values", "application/json", `{` + id + `,"message":"m"}{}`, false},
		{"deep", "application/json", strings.Repeat("[", maxAnswer), false},
	} {
		h := http.Header{}
		if c.ctype != "" {
			h.Set("Content-Type", c.ctype)
		}
		if message, ok := nexusError(h, []byte(c.body)); ok != c.want {
			t.Errorf("%s: %q, %v, want %v", c.name, message, ok, c.want)
		}
	}
}
