package api_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sledagent/sledagent/agent/api"
)

const requestMetrics = `
# HELP sled_agent_http_requests_total Requests of the sled API, by operation and status.
# TYPE sled_agent_http_requests_total counter
sled_agent_http_requests_total{operation="DELETE /vmms/{propolis_id}",status="200"} 1
sled_agent_http_requests_total{operation="GET /zones",status="200"} 2
sled_agent_http_requests_total{operation="PUT /vmms/{propolis_id}/state",status="200"} 1
sled_agent_http_requests_total{operation="PUT /vmms/{propolis_id}/state",status="400"} 1
sled_agent_http_requests_total{operation="other",status="404"} 2
sled_agent_http_requests_total{operation="other",status="405"} 1
`

// Requests are counted by operation. Neither ids nor paths nor methods of clients are labels.
func TestRequestMetrics(t *testing.T) {
	t.Parallel()
	s := serve(t, &fakeAgent{}, api.Options{})
	s.do("PUT", stateURL, stateBody("stopped"))
	s.do("PUT", stateURL, stateBody("asleep"))
	s.do("DELETE", vmmURL, "")
	s.do("GET", "/zones", "")
	s.do("GET", "//zones", "")
	s.do("GET", "/no/such/path", "")
	s.do("GET", "/vmms", "")
	s.do("BREW", stateURL, "")
	all := s.server.Collectors()
	if err := testutil.CollectAndCompare(all[0], strings.NewReader(requestMetrics)); err != nil {
		t.Error(err)
	}
	if n := testutil.CollectAndCount(all[1]); n != 4 {
		t.Errorf("%d operations are timed, want 4", n)
	}
	for _, c := range all {
		if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) > 0 {
			t.Errorf("lint: %v, %v", problems, err)
		}
	}
}
