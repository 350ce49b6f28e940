package api_test

import (
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/api"
)

func TestGrace(t *testing.T) {
	t.Parallel()
	stop := "stop:" + propolisID.String()
	for _, tt := range []struct {
		target, query string
		// call is the expected call of the agent; if empty, 400 with the text of says.
		call, says string
	}{
		{"stopped", "", stop, ""},
		{"stopped", "?", stop, ""},
		{"stopped", "?later=1", stop, ""},
		{"stopped", "?grace=30s", stop + ":30s", ""},
		{"stopped", "?grace=0s", stop + ":0s", ""},
		{"stopped", "?grace=0", stop + ":0s", ""},
		{"stopped", "?grace=1h2m3.5s&x=y", stop + ":1h2m3.5s", ""},
		{"stopped", "?grace=2540400h", stop + ":2540400h0m0s", ""},
		{"stopped", "?%67race=5s", stop + ":5s", ""},
		{"stopped", "?grace=", "", "grace: want a duration"},
		{"stopped", "?grace", "", "grace: want a duration"},
		{"stopped", "?grace=30", "", `grace: want a duration such as "30s" or "5m", got "30"`},
		{"stopped", "?grace=soon", "", "grace: want a duration"},
		{"stopped", "?grace=-1s", "", `grace: want a duration of 0 or more, got "-1s"`},
		{"stopped", "?grace=-1ns", "", "grace: want a duration of 0 or more"},
		{"stopped", "?grace=9999999h", "", "grace: want a duration"},
		{"stopped", "?grace=1e99s", "", "grace: want a duration"},
		{"stopped", "?grace=NaN", "", "grace: want a duration"},
		{"stopped", "?grace=30s&grace=30s", "", "grace: want one value, got 2"},
		{"stopped", "?grace=30s&grace=", "", "grace: want one value, got 2"},
		{"stopped", "?grace=30s;x=y", "", "grace"},
		{"stopped", "?grace=30%zz", "", "grace"},
		{"stopped", "?grace=%2030s", "", "grace: want a duration"},
		{"stopped", "?grace=" + strings.Repeat("9", 3000) + "s", "", "grace: want a duration"},
		{"running", "?grace=30s", "", `grace: only a stop has one, and this is "running"`},
		{"reboot", "?grace=30s", "", `grace: only a stop has one, and this is "reboot"`},
		{"reboot", "?later=1", "reboot:" + propolisID.String(), ""},
	} {
		f := &fakeAgent{}
		r := serve(t, f, api.Options{}).do("PUT", stateURL+tt.query, stateBody(tt.target))
		if f.called() != tt.call {
			t.Errorf("%s %.60s: calls %q, want %q", tt.target, tt.query, f.called(), tt.call)
		}
		if tt.says == "" {
			if r.StatusCode != 200 {
				t.Errorf("%s %.60s: %d %s", tt.target, tt.query, r.StatusCode, r.body)
			}
			continue
		}
		if code, message := r.failed(t); r.StatusCode != 400 || code != "" || !strings.Contains(message, tt.says) || len(message) > 300 {
			t.Errorf("%s %.60s: %d %q %.200q; want %q", tt.target, tt.query, r.StatusCode, code, message, tt.says)
		}
	}
}
