package propolis

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const inSync = `{"id":"c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71","state":"Sync"}`

func TestReadObservation(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]Observation{
		`{"gen":0,"state":"Creating","migration":{"migration_in":null,"migration_out":null}}`: {State: StateCreating},
		` {"migration":{},"new":[{}],"state":"Destroyed","gen":18446744073709551615}`:         {Gen: 1<<64 - 1, State: StateDestroyed},
		`{"gen":4,"state":"Migrating","migration":{"migration_out":` + inSync + `}}`: {Gen: 4, State: StateMigrating,
			MigrationOut: &Migration{ID: migrationID, Phase: PhaseSync}},
		`{"gen":4,"state":"Migrating","migration":{"migration_in":` + inSync + `}}`: {Gen: 4, State: StateMigrating,
			MigrationIn: &Migration{ID: migrationID, Phase: PhaseSync}},
	} {
		got, err := readObservation([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestReadObservationRefuses(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `1`, `"Running"`, `{"gen":1,"state":"Running","migration":{}} {}`,
		`{"state":"Running","migration":{}}`,
		`{"gen":1,"state":"Destroyed"}`,
		`{"gen":1,"state":"Destroyed","migration":null}`,
		`{"gen":null,"state":"Running","migration":{}}`,
		`{"gen":"1","state":"Running","migration":{}}`,
		`{"gen":-1,"state":"Running","migration":{}}`,
		`{"gen":1.5,"state":"Running","migration":{}}`,
		`{"gen":1e2,"state":"Running","migration":{}}`,
		`{"gen":18446744073709551616,"state":"Running","migration":{}}`,
		`{"gen":` + strings.Repeat("9", 10000) + `,"state":"Running","migration":{}}`,
		`{"gen":1,"migration":{}}`,
		`{"gen":1,"state":null,"migration":{}}`,
		`{"gen":1,"state":1,"migration":{}}`,
		`{"gen":1,"state":"running","migration":{}}`,
		`{"gen":1,"state":"Exploded","migration":{}}`,
		`{"gen":1,"state":"Running","migration":[]}`,
		`{"gen":1,"state":"Running","migration":{"migration_in":"Sync"}}`,
		`{"gen":1,"state":"Running","migration":{"migration_in":{"state":"Sync"}}}`,
		`{"gen":1,"state":"Running","migration":{"migration_in":{"id":"x","state":"Sync"}}}`,
		`{"gen":1,"state":"Running","migration":{"migration_out":` + strings.Replace(inSync, "Sync", "sync", 1) + `}}`,
		`{"gen":1,"state":"Running","migration":{"migration_out":{"id":"c3f5a0b2-7d64-4e0c-9a1e-0f6b8d2c4e71"}}}`,
	} {
		if o, err := readObservation([]byte(body)); err == nil {
			t.Errorf("%s was read as %+v", body, o)
		}
	}
}

func FuzzMonitorAnswer(f *testing.F) {
	f.Add([]byte(`{"gen":3,"state":"Running","migration":{"migration_in":null,"migration_out":null}}`))
	f.Add([]byte(`{"gen":16,"state":"Migrating","migration":{"migration_in":` + inSync + `,"migration_out":` + inSync + `}}`))
	f.Add([]byte(`{"GEN":1,"gen":2,"state":"Failed","migration":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := readObservation(body)
		if err != nil {
			return
		}
		if !o.State.known() {
			t.Errorf("unknown state %q", o.State)
		}
		for _, m := range []*Migration{o.MigrationIn, o.MigrationOut} {
			if m != nil && !m.Phase.known() {
				t.Errorf("unknown phase %q", m.Phase)
			}
		}
		if !o.equal(o) {
			t.Errorf("%+v is not equal to itself", o)
		}
	})
}
