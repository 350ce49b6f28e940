package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/server/servertest"
)

const otherID = "0b7f2a7e-52b3-4a4e-9b8e-3c1d2e4f5a6b"

// sides returns the ids of the migration in and out.
func sides(v server.View) (in, out string) {
	if v.Migration.In != nil {
		in = v.Migration.In.ID.String()
	}
	if v.Migration.Out != nil {
		out = v.Migration.Out.ID.String()
	}
	return in, out
}

func testBothMigrations(t *testing.T) {
	c := overSocket(t, fast("both-migrations"))
	c.Running()
	if in, out := sides(c.Monitor(0)); in != "" || out != "" {
		t.Errorf("without a migration: in %q, out %q", in, out)
	}
	c.Want(c.Call("POST", "/sim/do/migrate-out?id="+servertest.MigrationID, ""), "No Content")
	if in, out := sides(c.Await(server.Destroyed)); in != servertest.MigrationID || out != servertest.MigrationID {
		t.Errorf("source: in %q, out %q", in, out)
	}
	c = overSocket(t, fast("both-migrations"))
	c.Want(c.Call("PUT", "/instance", servertest.MigrationTarget), "Created")
	if in, out := sides(c.Await(server.Running)); in != servertest.MigrationID || out != servertest.MigrationID {
		t.Errorf("target: in %q, out %q", in, out)
	}
	c.faults()
	if in, out := sides(c.Monitor(0)); in != servertest.MigrationID || out != "" {
		t.Errorf("without the fault: in %q, out %q", in, out)
	}
}

func testUnknownMigration(t *testing.T) {
	c := overSocket(t, fast("unknown-migration="+otherID))
	c.Running()
	if v := c.Monitor(0); describe(v) != "3 Running out=Error" || v.Migration.Out.ID != uuid.MustParse(otherID) {
		t.Errorf("without a migration: %s", describe(v))
	}
	c = overSocket(t, fast("unknown-migration"))
	c.Want(c.Call("PUT", "/instance", servertest.MigrationTarget), "Created")
	in, out := sides(c.Await(server.Running))
	if _, err := uuid.Parse(in); err != nil || in == servertest.MigrationID || out != "" {
		t.Errorf("target: in %q, out %q", in, out)
	}
	if again, _ := sides(c.Monitor(0)); again != in {
		t.Errorf("in %q, and then %q", in, again)
	}
	c.faults("unknown-migration", "both-migrations")
	if in, out := sides(c.Monitor(0)); in == servertest.MigrationID || in != out {
		t.Errorf("target, on both sides: in %q, out %q", in, out)
	}
}

func testWrongInstance(t *testing.T) {
	c := overSocket(t, fast("wrong-instance="+otherID))
	c.Want(c.Ensure(), "Created")
	const id = `"id":"4a1d8f5e-6a0b-4f7e-9c11-1f0a2b3c4d5e"`
	for _, path := range []string{"/instance", "/instance/spec"} {
		if r := c.Call("GET", path, ""); !strings.Contains(r.Body, `"id":"`+otherID+`"`) || strings.Contains(r.Body, id) {
			t.Errorf("GET %s: %s", path, r.Body)
		}
	}
	c.faults("wrong-instance")
	if r := c.Call("GET", "/instance", ""); strings.Contains(r.Body, id) || strings.Contains(r.Body, otherID) {
		t.Errorf("with an id made up: %s", r.Body)
	}
	c.faults()
	if r := c.Call("GET", "/instance", ""); !strings.Contains(r.Body, id) {
		t.Errorf("without the fault: %s", r.Body)
	}
}

// A monitor that waits for a generation that is no longer reached is not woken.
func testFallBack(t *testing.T) {
	c := overSocket(t, fast())
	c.Running()
	go func() { _, _ = c.Try(c.Request("GET", "/instance/state-monitor", `{"gen":4}`)) }()
	c.monitors(1)
	c.faults("fall-back-after=1ms")
	for c.Monitor(0).Gen != 1 {
		time.Sleep(time.Millisecond) // sleep: polls with a deadline
	}
	if got := describe(c.Monitor(0)); got != "1 Destroyed" {
		t.Errorf("monitor: %s", got)
	}
	c.Want(c.Put("Stop"), "Failed Dependency NoInstance")
	time.Sleep(moment) // sleep: tests that nothing happens for a while
	c.monitors(1)
}

func TestFallBackTo(t *testing.T) {
	t.Parallel()
	for state, run := range map[string]string{"": "Failed Dependency NoInstance", "creating": "Failed Dependency NoInstance",
		"stopped": "Failed Dependency NoInstance", "running": "No Content", "starting": "No Content"} {
		c := overSocket(t, fast())
		c.Want(c.Call("POST", "/sim/do/fall-back="+state, ""), "Conflict")
		c.Want(c.Ensure(), "Created")
		c.Want(c.Call("POST", "/sim/do/fall-back="+state, ""), "Conflict") // there is no older generation
		boot(c)
		c.Want(c.Call("POST", "/sim/do/fall-back=nowhere", ""), "Bad Request")
		c.Want(c.Call("POST", "/sim/do/fall-back="+state, ""), "No Content")
		if got := strings.ToLower(describe(c.Monitor(0))); got != "1 "+state && (state != "" || got != "1 destroyed") {
			t.Errorf("fell back to %q: %s", state, got)
		}
		c.Want(c.Put("Run"), run)
	}
}
