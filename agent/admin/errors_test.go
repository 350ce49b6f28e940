package admin

import (
	"net/http"
	"testing"

	"github.com/sledagent/sledagent/agent/vmm"
)

// Every reason of a refusal has a status, and none is an error of the server.
func TestEveryRefusalHasAStatus(t *testing.T) {
	t.Parallel()
	for reason := vmm.Unknown; reason.String() != "unknown reason"; reason++ {
		if err := refused(&vmm.Refusal{Reason: reason}); err.Status == http.StatusInternalServerError {
			t.Errorf("%s is answered with %d", reason, err.Status)
		}
	}
}
