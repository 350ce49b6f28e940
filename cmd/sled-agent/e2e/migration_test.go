package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

func migrateBody(source string) []byte {
	return fmt.Appendf(nil, `{"state":{"type":"migration_target","value":{"src_propolis_addr":%q}}}`, source)
}

// receive registers a VMM as a migration target whose server has faults, and starts it.
func (h *harness) receive(modes ...string) (*vm, uuid.UUID) {
	h.t.Helper()
	id := uuid.New()
	v := h.newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(h.t), MigrationID: &id}).register()
	v.serverScript(withFaults(modes...))
	in := v.record().MigrationIn
	if in == nil || in.ID != id || in.State != vmm.MigrationPending || in.Gen != 1 {
		h.t.Fatalf("registered as a target, its migration is %v", in)
	}
	got := h.call("PUT", v.path()+"/state", migrateBody("127.0.0.1:1")).wants(h.t, http.StatusOK)
	if got.updated(h.t) != nil {
		h.t.Errorf("the migration was answered with %v, want null", got)
	}
	return v, id
}

func TestMigrationTarget(t *testing.T) {
	h := sharedHarness(t)
	v, id := h.receive()
	v.reaches(vmm.WireRunning)
	row := v.row("migrated", func(r nexussim.Row) bool {
		return r.Record.MigrationIn != nil && r.Record.MigrationIn.State == vmm.MigrationCompleted
	})
	if row.Record.MigrationIn.ID != id {
		t.Errorf("the migration is %v", row.Record.MigrationIn)
	}
	v.stopAndEnd()
}

func TestMigrationTargetFails(t *testing.T) {
	h := sharedHarness(t)
	for name, mode := range map[string]string{
		"in a phase":        "fail-migration",
		"at its creation":   "refuse-ensure=500:Internal",
		"with its server":   "crash-in-migrating",
		"and its server is": "refuse-ensure=400",
	} {
		t.Run(name, func(t *testing.T) {
			v, _ := h.in(t).receive(mode)
			v.endsFailed()
			v.migrationFailed()
		})
	}
}

// migrationFailed checks the migration in the VMM's last record.
func (v *vm) migrationFailed() {
	v.t.Helper()
	row, _ := v.nexus.Row(v.id)
	m := row.Record.MigrationIn
	if m == nil {
		m = row.Record.MigrationOut
	}
	if m == nil || m.State != vmm.MigrationFailed {
		v.t.Errorf("the VMM has ended and its migration is %v", m)
	}
}

// A target whose source is silent stays in a phase. Its stop ends on time, and the migration has failed.
func TestStopOfAStuckMigrationTarget(t *testing.T) {
	h := sharedHarness(t)
	v, _ := h.receive("stay-migrating", "ignore-stop")
	v.observed("Migrating")
	v.stop(grace)
	v.endsDestroyed()
	v.migrationFailed()
}

// A VMM that was not registered as a target cannot become one: its start fails.
func TestMigrationWithoutAnID(t *testing.T) {
	h := sharedHarness(t)
	v := h.register()
	h.call("PUT", v.path()+"/state", migrateBody("127.0.0.1:1")).wants(t, http.StatusOK)
	v.endsFailed()
}

// The source's agent learns of the migration from Propolis. A VM that has migrated away has ended in an
// orderly way, and its migration is complete.
func TestMigrationSource(t *testing.T) {
	h := sharedHarness(t)
	v := h.launch()
	id := uuid.New()
	v.do("migrate-out?id=" + id.String())
	v.endsDestroyed()
	row, _ := h.nexus.Row(v.id)
	out := row.Record.MigrationOut
	if out == nil || out.ID != id || out.State != vmm.MigrationCompleted || out.Gen < 2 {
		t.Errorf("the migration is %v", out)
	}
}

// A source whose migration failed runs on.
func TestMigrationSourceFails(t *testing.T) {
	v := faults("fail-migration").launch(sharedHarness(t))
	v.do("migrate-out?id=" + uuid.NewString())
	v.row("back from a migration", func(r nexussim.Row) bool {
		out := r.Record
		return out != nil && out.MigrationOut != nil && out.MigrationOut.State == vmm.MigrationFailed &&
			out.VMM.State == vmm.WireRunning
	})
	v.stopAndEnd()
}

// A migration that makes no progress does not delay a stop of the source.
func TestStopOfAStuckMigrationSource(t *testing.T) {
	v := faults("stay-migrating", "ignore-stop").launch(sharedHarness(t))
	v.do("migrate-out?id=" + uuid.NewString())
	v.reaches(vmm.WireMigrating)
	v.stopsAtDeadline(grace)
	v.migrationFailed()
}
