package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

func migrateBody(source string) []byte {
	return fmt.Appendf(nil, `{"state":{"type":"migration_target","value":{"src_propolis_addr":%q}}}`, source)
}

// receive registers a VMM as the target of a migration, whose server lies, and
// lets it begin.
func (l *sled) receive(modes string) (*vm, uuid.UUID) {
	l.t.Helper()
	id := uuid.New()
	v := l.registerWith(wire.BodyOptions{PropolisAddr: freeAddr(l.t), MigrationID: &id})
	v.born(lying(modes))
	in := record(l.t, v.state().wants(l.t, http.StatusOK).body).MigrationIn
	if in == nil || in.ID != id || in.State != vmm.MigrationPending || in.Gen != 1 {
		l.t.Fatalf("registered as a target, its migration is %v", in)
	}
	got := l.call("PUT", v.path()+"/state", migrateBody("127.0.0.1:1")).wants(l.t, http.StatusOK)
	if got.updated(l.t) != nil {
		l.t.Errorf("the migration was answered with %v, want null", got)
	}
	return v, id
}

func TestMigrationTarget(t *testing.T) {
	l := sharedSled(t)
	v, id := l.receive("")
	v.reaches(vmm.WireRunning)
	row := v.row(trial.Patience, "migrated", func(r nexussim.Row) bool {
		return r.Record.MigrationIn != nil && r.Record.MigrationIn.State == vmm.MigrationCompleted
	})
	if row.Record.MigrationIn.ID != id {
		t.Errorf("the migration is %v", row.Record.MigrationIn)
	}
	v.stop(time.Minute)
	v.endsDestroyed()
}

func TestMigrationTargetFails(t *testing.T) {
	l := sharedSled(t)
	for name, mode := range map[string]string{
		"in a phase":        "fail-migration",
		"at its creation":   "refuse-ensure=500:Internal",
		"with its server":   "crash-in-migrating",
		"and its server is": "refuse-ensure=400",
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := l.in(t).receive(mode)
			v.endsFailed()
			v.migrationFailed()
		})
	}
}

// migrationFailed checks the migration's end in the VMM's last record.
func (v *vm) migrationFailed() {
	v.t.Helper()
	row, _ := v.l.nexus.Row(v.id)
	if in := row.Record.MigrationIn; in == nil || in.State != vmm.MigrationFailed {
		v.t.Errorf("the VMM has ended and its migration is %v", in)
	}
}

// A target whose source is silent stays in a phase; its stop ends on time, and
// the migration has failed.
func TestStopOfAStuckMigrationTarget(t *testing.T) {
	l := sharedSled(t)
	v, _ := l.receive("stay-migrating,ignore-stop")
	v.observed("Migrating")
	s := v.stop(grace)
	v.removedInTime(s)
	v.endsDestroyed()
	v.migrationFailed()
}

// A VMM that was not registered as a target cannot become one: that is a start
// that failed.
func TestMigrationWithoutAnID(t *testing.T) {
	l := sharedSled(t)
	v := l.register()
	l.call("PUT", v.path()+"/state", migrateBody("127.0.0.1:1")).wants(t, http.StatusOK)
	v.endsFailed()
}

// The source's agent learns of the migration from Propolis. A VM that has left
// has ended in an orderly way, and its migration is complete.
func TestMigrationSource(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	id := uuid.New()
	v.do("migrate-out?id=" + id.String())
	v.endsDestroyed()
	row, _ := l.nexus.Row(v.id)
	out := row.Record.MigrationOut
	if out == nil || out.ID != id || out.State != vmm.MigrationCompleted || out.Gen < 2 {
		t.Errorf("the migration is %v", out)
	}
}

// A source whose migration failed runs on.
func TestMigrationSourceFails(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("fail-migration")
	v.do("migrate-out?id=" + uuid.NewString())
	v.row(trial.Patience, "back from a migration", func(r nexussim.Row) bool {
		out := r.Record
		return out != nil && out.MigrationOut != nil && out.MigrationOut.State == vmm.MigrationFailed &&
			out.VMM.State == vmm.WireRunning
	})
	v.stop(time.Minute)
	v.endsDestroyed()
}

// A migration that does not get on does not hold up a stop of the source.
func TestStopOfAStuckMigrationSource(t *testing.T) {
	l := sharedSled(t)
	v := l.launch()
	v.lies("stay-migrating", "ignore-stop")
	v.do("migrate-out?id=" + uuid.NewString())
	v.reaches(vmm.WireMigrating)
	s := v.stop(grace)
	v.removedOnTime(s)
	v.endsDestroyed()
	row, _ := l.nexus.Row(v.id)
	if out := row.Record.MigrationOut; out == nil || out.State != vmm.MigrationFailed {
		t.Errorf("the VMM has ended and its migration is %v", out)
	}
}
