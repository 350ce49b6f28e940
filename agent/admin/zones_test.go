package admin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

func TestZones(t *testing.T) {
	t.Parallel()
	agent := admintest.New(admin.About{})
	owner := id(1)
	agent.SetZones(vmm.ZoneList{Zones: []vmm.ZoneStatus{{Name: "z-orphan", State: "running", Orphan: true}, {Name: "z-used", VMM: &owner}}})
	s := serve(t, agent)
	for _, c := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/v1/zones", 200, `"name":"z-orphan","state":"running"`},
		{"DELETE", "/v1/zones/z-used", 409, "belongs to VMM " + owner.String()},
		{"DELETE", "/v1/zones/z-none", 404, `"reason":"no such zone"`},
		{"DELETE", "/v1/zones/z%2F..", 400, "zone name"},
		{"DELETE", "/v1/zones/global", 400, "reserved"},
		{"DELETE", "/v1/zones/z-orphan", 200, `"by":"operator`}, // with the user, by the peer's credentials
	} {
		if status, body := s.do(c.method, c.path, nil); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d %s", c.method, c.path, status, body)
		}
	}
	if got := agent.Removed(); !slices.Equal(got, []string{"z-orphan"}) {
		t.Errorf("removed %q", got)
	}
}
