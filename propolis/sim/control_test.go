package sim_test

import (
	"testing"

	"github.com/sledagent/sledagent/propolis/sim"
)

func TestControl(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ method, path, want string }{
		"without the API": {"GET", "/sim/state", "OK"},
		"unknown":         {"GET", "/sim/nothing", "Not Found"},
		"unknown action":  {"POST", "/sim/do/nothing", "Not Found"},
		"not now":         {"POST", "/sim/do/guest-poweroff", "Conflict"},
		"not a migration": {"POST", "/sim/do/migrate-out?id=7", "Bad Request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := overSocket(t, sim.Options{})
			c.Want(c.Ensure(), "Created")
			c.Want(c.Call(tc.method, tc.path, ""), tc.want)
		})
	}
}
