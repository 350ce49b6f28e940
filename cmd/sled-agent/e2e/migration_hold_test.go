package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis/server"
	"github.com/sledagent/sledagent/propolis/sim"
)

// migrationPhases are those in which a migration is held. The source has no phase Server.
var migrationPhases = []server.Phase{server.Sync, server.RAMPush, server.Pause, server.RAMPushDirty, server.Device, server.RAMPull, server.ServerPhase, server.Finish}

// holdMigration starts a migration and holds it in a phase. If it breaks, it fails when it is let go. On a slow
// machine a server may leave the phase before it is held; then there is another try, with longer phases.
func holdMigration(from, to *harness, phase server.Phase, breaks bool) (*move, uuid.UUID) {
	from.t.Helper()
	ofSource := phase
	if phase == server.ServerPhase {
		ofSource = server.RAMPull
	}
	for took := 200 * time.Millisecond; took < waitLimit; took *= 2 {
		m := &move{source: from.registerWith(phased(took, ofSource, breaks)).launch(), ended: make(chan struct{})}
		migration := uuid.New()
		v := to.newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(to.t), MigrationID: &migration})
		v.serverScript(phased(took, phase, breaks))
		v.register()
		m.succeed(v)
		if breaks { // Even if a phase is left too early, only one side ends.
			v.mayEnd()
		} else {
			m.source.mayEnd()
		}
		v.call("PUT", v.path()+"/state", migrateBody(m.source.serverAddr.String())).wants(v.t, http.StatusOK)
		v.row("under way", func(r nexussim.Row) bool { return migrationOf(r).State == vmm.MigrationInProgress })
		m.leave(migration)
		if v.heldIn(phase) && m.source.heldIn(ofSource) {
			return m, migration
		}
		from.t.Logf("a server has left %s too early; a phase took %v", phase, took)
		m.source.unregister()
		v.unregister()
	}
	from.t.Fatalf("no migration could be held in %s", phase)
	return nil, uuid.Nil
}

// phased is the shell line for a server that stays in the first phase of a migration, and whose migration fails,
// if it breaks, at the end of a phase; a target cannot fail in the first one and stay in it.
func phased(took time.Duration, phase server.Phase, breaks bool) string {
	modes := []string{"stay-migrating"}
	if phase == server.Sync {
		phase = server.RAMPush
	}
	if breaks {
		modes = append(modes, "fail-migration="+string(phase))
	}
	return withFaults(modes...) + fmt.Sprintf(`; flags="$flags --phase-time %v"`, took)
}

// heldIn advances a migration to a phase and holds it there, and waits until Nexus has seen it. It reports false
// if the server has gone on.
func (v *vm) heldIn(phase server.Phase) bool {
	v.t.Helper()
	for {
		view := v.view()
		m := cmp.Or(view.Migration.In, view.Migration.Out)
		switch {
		case view.State != server.Migrating || slices.Index(migrationPhases, m.State) > slices.Index(migrationPhases, phase):
			return false
		case m.State == phase:
			state := vmm.MigrationInProgress
			if phase == server.Finish {
				state = vmm.MigrationCompleted
			}
			v.row("held", func(r nexussim.Row) bool { return migrationOf(r).State == state })
			return true
		}
		// Each time, a phase that is over is left.
		v.letGo()
		_ = v.control("PUT", "faults", []string{"stay-migrating"}, nil) // It may have ended.
		pause(watchInterval)
	}
}

// letGo lifts all faults of the server, if it still exists.
func (v *vm) letGo() { _ = v.control("PUT", "faults", []string{}, nil) }

// view returns what the server's monitor shows; the zero value if there is no server or no VM.
func (v *vm) view() (view server.View) {
	var s sim.Status
	if err := v.control("GET", "state", nil, &s); err == nil && s.VM != nil {
		view = *s.VM
	}
	return view
}

// isAsked waits until a call was made to the server.
func (v *vm) isAsked(call string) {
	v.t.Helper()
	waitFor(v.t, func() string {
		var s sim.Status
		if err := v.control("GET", "state", nil, &s); err != nil || s.Calls[call] == 0 {
			return fmt.Sprintf("the server was not asked %s: %v", call, err)
		}
		return ""
	})
}

// migrationOf returns the only migration of a VMM; the zero value if there is none.
func migrationOf(r nexussim.Row) vmm.Migration {
	if r.Record == nil {
		return vmm.Migration{}
	}
	return *cmp.Or(r.Record.MigrationIn, r.Record.MigrationOut, &vmm.Migration{})
}
