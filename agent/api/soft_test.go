package api_test

import (
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/api"
)

// The soft time is accepted at every served version.
func TestSoftTime(t *testing.T) {
	t.Parallel()
	stop, reboot := "stop:"+propolisID.String(), "reboot:"+propolisID.String()
	for _, tt := range []struct{ target, query, secs, call, says string }{
		{"stopped", "", "30", stop + ":soft 30s", ""},
		{"stopped", "?grace=1m", "30", stop + ":1m0s:soft 30s", ""},
		{"stopped", "", "null", stop, ""},
		{"stopped", "", "0", stop, ""},
		{"reboot", "", "90", reboot + ":soft 1m30s", ""},
		{"reboot", "", "null", reboot, ""},
		{"running", "", "null", "run:" + propolisID.String(), ""},
		{"running", "", "5", "run:" + propolisID.String(), ""},
		{"stopped", "", "-1", "", "acpi_timeout_secs: want an integer from 0 to 18446744073709551615, got -1"},
	} {
		for _, version := range []string{"1.0.0", "48.0.0", "54.0.0"} {
			f := &fakeAgent{}
			body := strings.TrimSuffix(stateBody(tt.target), "}") + `,"acpi_timeout_secs":` + tt.secs + "}"
			r := serve(t, f, api.Options{}).do("PUT", stateURL+tt.query, body, "api-version", version)
			if f.called() != tt.call {
				t.Errorf("%s %s: calls %q, want %q", tt.target, tt.secs, f.called(), tt.call)
			}
			if tt.says == "" && r.StatusCode != 200 {
				t.Errorf("%s %s: %d %s", tt.target, tt.secs, r.StatusCode, r.body)
			}
			if tt.says != "" {
				if _, message := r.failed(t); r.StatusCode != 400 || !strings.Contains(message, tt.says) {
					t.Errorf("%s %s: %d %q, want %q", tt.target, tt.secs, r.StatusCode, message, tt.says)
				}
			}
		}
	}
}
