package nexussim

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

func TestGenerationRule(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	steps := []struct {
		rec    vmm.Record
		effect Effect
		state  vmm.WireState
		gen    uint64
	}{
		{record(vmm.WireStarting, 2), Updated, vmm.WireStarting, 2},
		{record(vmm.WireStarting, 2), Stale, vmm.WireStarting, 2},
		{record(vmm.WireStopping, 5), Updated, vmm.WireStopping, 5},
		{record(vmm.WireRunning, 4), Stale, vmm.WireStopping, 5},
		{record(vmm.WireRunning, 5), Stale, vmm.WireStopping, 5},
		{record(vmm.WireDestroyed, 6), Updated, vmm.WireDestroyed, 6},
	}
	for i, step := range steps {
		wantPut(t, s, vmmA, step.rec, 204)
		row, _ := s.Row(vmmA)
		if row.LastEffect != step.effect || row.State() != step.state || row.Gen() != step.gen {
			t.Errorf("step %d: %s, %s (gen %d); want %+v", i, row.LastEffect, row.State(), row.Gen(), step)
		}
	}
	row, _ := s.Row(vmmA)
	if row.Puts != 6 || row.Updates != 3 || row.Acked != 6 || len(row.History) != 5 || row.History[0].Times != 2 {
		t.Errorf("row %+v", row)
	}
}

// A migration's record is ordered by its own generation, independently of the VMM's,
// and null does not erase it.
func TestMigrationRule(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	send := func(gen uint64, in *vmm.Migration, want Effect) Row {
		t.Helper()
		rec := record(vmm.WireMigrating, gen)
		rec.MigrationIn = in
		wantPut(t, s, vmmA, rec, 204)
		row, _ := s.Row(vmmA)
		if row.LastEffect != want {
			t.Errorf("gen %d: %s, want %s", gen, row.LastEffect, want)
		}
		return row
	}
	send(3, migrating(migX, vmm.MigrationInProgress, 2), Updated)
	send(4, nil, Updated)
	send(3, migrating(migX, vmm.MigrationCompleted, 3), MigrationOnly)
	row := send(5, migrating(migX, vmm.MigrationFailed, 3), Updated)
	if row.Record.MigrationIn == nil || row.Record.MigrationIn.State != vmm.MigrationCompleted {
		t.Errorf("migration is %+v, want completed", row.Record.MigrationIn)
	}
}

func TestMigrationRefusals(t *testing.T) {
	t.Parallel()
	other := uuid.New()
	tests := []struct {
		name    string
		rows    []Migration
		in, out *vmm.Migration
		status  int
	}{
		{"any migration exists", nil, migrating(migX, vmm.MigrationInProgress, 2), nil, 204},
		{"this side", []Migration{{ID: migX, Target: vmmA}}, migrating(migX, vmm.MigrationInProgress, 2), nil, 204},
		{"other side", []Migration{{ID: migX, Source: vmmB}}, migrating(migX, vmm.MigrationInProgress, 2), nil, 204},
		{"other VMM's", []Migration{{ID: migX, Target: vmmB}}, migrating(migX, vmm.MigrationInProgress, 2), nil, 400},
		{"unknown", []Migration{{ID: other}}, nil, migrating(migX, vmm.MigrationInProgress, 2), 500},
		{"deleted", []Migration{{ID: migX, Target: vmmA, Deleted: true}}, migrating(migX, vmm.MigrationInProgress, 2), nil, 410},
		{"in and out", nil, migrating(migX, vmm.MigrationInProgress, 2), migrating(migX, vmm.MigrationInProgress, 2), 409},
		{"in, then another out", []Migration{{ID: migX}, {ID: other}},
			migrating(migX, vmm.MigrationCompleted, 3), migrating(other, vmm.MigrationInProgress, 2), 204},
		{"second side fails the first", []Migration{{ID: migX}, {ID: other, Deleted: true}},
			migrating(migX, vmm.MigrationCompleted, 3), migrating(other, vmm.MigrationInProgress, 2), 410},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, Options{})
			wantPut(t, s, vmmA, record(vmm.WireRunning, 3), 204)
			for _, m := range tt.rows {
				s.SetMigration(m)
			}
			rec := record(vmm.WireDestroyed, 4)
			rec.MigrationIn, rec.MigrationOut = tt.in, tt.out
			wantPut(t, s, vmmA, rec, tt.status)
			row, _ := s.Row(vmmA)
			if stored := row.Gen() == 4; stored != (tt.status == 204) {
				t.Errorf("after %d the row has gen %d: an update is stored as a whole or not at all", tt.status, row.Gen())
			}
			if tt.status != 204 && row.Record.MigrationIn != nil {
				t.Errorf("after %d a migration is stored: %+v", tt.status, row.Record.MigrationIn)
			}
		})
	}
}

// The first VMM that reports a side of a migration owns it.
func TestMigrationSideIsClaimed(t *testing.T) {
	t.Parallel()
	s := newServer(t, Options{})
	rec := record(vmm.WireMigrating, 3)
	rec.MigrationIn = migrating(migX, vmm.MigrationInProgress, 2)
	wantPut(t, s, vmmA, rec, 204)
	wantPut(t, s, vmmB, rec, 400)
	rec.MigrationIn, rec.MigrationOut = nil, rec.MigrationIn
	wantPut(t, s, vmmB, rec, 204)
}

func TestViolations(t *testing.T) {
	t.Parallel()
	destroyed := record(vmm.WireDestroyed, 9)
	later := destroyed
	later.VMM.Updated = t0
	moved, movedAgain := destroyed, destroyed
	moved.MigrationOut = migrating(migX, vmm.MigrationCompleted, 3)
	movedAgain.MigrationOut = migrating(migX, vmm.MigrationFailed, 3)
	tests := []struct {
		name  string
		fault string // in force for all but the last record
		sent  []vmm.Record
		want  []Rule
	}{
		{"a lifecycle", "", []vmm.Record{record(vmm.WireStarting, 2), record(vmm.WireRunning, 3), record(vmm.WireStopping, 4), destroyed}, nil},
		{"repeated", "", []vmm.Record{record(vmm.WireRunning, 3), record(vmm.WireRunning, 3)}, nil},
		{"overtaken", "", []vmm.Record{record(vmm.WireRunning, 3), record(vmm.WireStopping, 4), record(vmm.WireRunning, 3)}, nil},
		{"overtaken by the end", "", []vmm.Record{record(vmm.WireStopping, 4), destroyed, record(vmm.WireStopping, 4)}, nil},
		{"end repeated", "", []vmm.Record{destroyed, destroyed}, nil},
		{"backwards", "", []vmm.Record{record(vmm.WireStopping, 4), record(vmm.WireRunning, 3)}, []Rule{GenBackwards}},
		{"backwards, not acknowledged", "status=503", []vmm.Record{record(vmm.WireStopping, 4), record(vmm.WireRunning, 3)}, nil},
		{"backwards, acknowledged by a lie", "stale-accept", []vmm.Record{record(vmm.WireStopping, 4), record(vmm.WireRunning, 3)}, []Rule{GenBackwards}},
		{"two of one generation", "", []vmm.Record{record(vmm.WireRunning, 3), record(vmm.WireStopping, 3)}, []Rule{SameGenOtherBody}},
		{"end with a new time", "", []vmm.Record{destroyed, later}, []Rule{SameGenOtherBody, SecondTerminal}},
		{"end without its migration", "", []vmm.Record{moved, destroyed}, nil},
		{"end with another migration", "", []vmm.Record{moved, movedAgain}, []Rule{SameGenOtherBody, SecondTerminal}},
		{"end with the migration that was left out before", "", []vmm.Record{destroyed, moved}, nil},
		{"second end", "", []vmm.Record{destroyed, record(vmm.WireFailed, 10)}, []Rule{SecondTerminal}},
		{"second end, first not acknowledged", "status=503", []vmm.Record{destroyed, record(vmm.WireFailed, 10)}, []Rule{SecondTerminal}},
		{"state after the end", "", []vmm.Record{destroyed, record(vmm.WireRunning, 10)}, []Rule{AfterTerminal}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, Options{})
			if tt.fault != "" {
				setFault(t, s, tt.fault)
			}
			for i, rec := range tt.sent {
				if i == len(tt.sent)-1 {
					setFault(t, s)
				}
				put(t, s, vmmA, rec)
			}
			var got []Rule
			for _, v := range s.Violations() {
				if v.VMM != vmmA || v.Seq == 0 || v.Text == "" {
					t.Errorf("violation %+v", v)
				}
				got = append(got, v.Rule)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("violations %v, want %v", got, tt.want)
			}
		})
	}
}

// The simulator's memory is bounded whatever a sled sends.
func TestBounds(t *testing.T) {
	t.Parallel()
	var r Row
	for gen := range uint64(maxHistory + 10) {
		r.arrive(record(vmm.WireRunning, gen), t0)
	}
	if len(r.History) != maxHistory || r.History[maxHistory-1].Gen != maxHistory+9 {
		t.Errorf("%d records kept, the last of gen %d", len(r.History), r.History[len(r.History)-1].Gen)
	}
	s := newServer(t, Options{})
	for range maxPuts + 5 {
		s.dealtWith(Put{})
	}
	puts, n := s.Puts(maxPuts)
	if len(puts) != 5 || n != maxPuts+5 {
		t.Errorf("%d PUTs after the first %d, %d in all", len(puts), maxPuts, n)
	}
	if puts, _ := s.Puts(0); len(puts) != maxPuts {
		t.Errorf("%d PUTs kept, want %d", len(puts), maxPuts)
	}
}
