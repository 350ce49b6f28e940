package publish

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
)

// The client's result for each fault of the simulated Nexus and of an ingress.
func TestSimulatedFaults(t *testing.T) {
	t.Parallel()
	values := map[string]string{"delay": "1ms", "fail-percent": "100", "status": "503", "page": "404", "empty": "410"}
	acked := map[string]bool{"delay": true, "stale-accept": true, "dns-empty": true, "dns-fail": true, "dns-silent": true}
	for _, d := range nexussim.Faults() {
		spec := d.Name
		if d.Value != "" {
			spec += "=" + values[d.Name]
		}
		want := CannotTell
		if acked[d.Name] {
			want = Acked
		}
		checkSimulated(t, want, running(3), func(s *nexussim.Server) error { return s.SetFault(spec) }, spec)
	}
	for spec, want := range map[string]Verdict{"status=404": Unknown, "status=410": Unknown, "status=400": Refused,
		"status=429": CannotTell, "page=410": CannotTell, "page=403": CannotTell, "page=502": CannotTell, "empty=404": CannotTell} {
		checkSimulated(t, want, running(3), func(s *nexussim.Server) error { return s.SetFault(spec) }, spec)
	}
}

// The client's result for the answers of a working Nexus.
func TestSimulatedDatabase(t *testing.T) {
	t.Parallel()
	move := &vmm.Migration{ID: uuid.New(), State: vmm.MigrationCompleted, Gen: 3}
	ended := destroyed(3)
	ended.MigrationOut = move
	both := ended
	both.MigrationIn = move
	row := func(m nexussim.Migration) func(*nexussim.Server) error {
		return func(s *nexussim.Server) error { s.SetMigration(m); return nil }
	}
	checkSimulated(t, Acked, ended, row(nexussim.Migration{ID: move.ID}), "known migration")
	checkSimulated(t, CannotTell, ended, row(nexussim.Migration{ID: uuid.New()}), "unknown migration")
	checkSimulated(t, Unknown, ended, row(nexussim.Migration{ID: move.ID, Deleted: true}), "deleted migration")
	checkSimulated(t, Refused, ended, row(nexussim.Migration{ID: move.ID, Source: uuid.New()}), "migration of another VMM")
	checkSimulated(t, Refused, both, row(nexussim.Migration{ID: move.ID}), "one migration as in and out")
	checkSimulated(t, CannotTell, ended, func(s *nexussim.Server) error { s.SetKnown(uuid.New()); return nil }, "unknown VMM")
}

func checkSimulated(t *testing.T, want Verdict, rec vmm.Record, set func(*nexussim.Server) error, name string) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		s := nexussim.New(nexussim.Options{})
		defer s.Close()
		addr, err := s.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if err := set(s); err != nil {
			t.Fatal(err)
		}
		budget := 200 * time.Millisecond
		if want != CannotTell {
			budget = 20 * time.Second
		}
		c := New(Config{Addresses: []string{"http://" + addr}, RequestTimeout: budget})
		defer closeClient(t, c)
		if a := c.Put(t.Context(), uuid.New(), rec); a.Verdict != want || a.Sent != 1 || (a.Err == nil) != (want == Acked) {
			t.Errorf("%+v, want %q", a, want)
		}
	})
}
