package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
	"github.com/sledagent/sledagent/propolis/server"
)

// A migrationFault is what happens while both sides of a migration are held in a phase.
type migrationFault struct {
	name string
	do   func(*move)
	// breaks: the migration then fails, unless the phase is the last one, in which it cannot.
	breaks bool
	// source and target are the ends caused by the fault itself.
	source, target vmm.WireState
	// restarts: an agent is killed.
	restarts bool
}

var migrationFaults = []migrationFault{
	{name: "nothing else", breaks: true, do: func(*move) {}},
	{name: "source killed", breaks: true, do: func(m *move) { m.source.do("crash"); m.source.endsFailed() }, source: vmm.WireFailed},
	{name: "target killed", breaks: true, do: func(m *move) { m.target.do("crash"); m.target.endsFailed() }, target: vmm.WireFailed},
	{name: "source stopped", do: func(m *move) { m.source.stop(never) }, source: vmm.WireDestroyed},
	{name: "target stopped", do: func(m *move) { m.target.stop(never) }, target: vmm.WireDestroyed},
	{name: "source stopped, breaks", breaks: true, do: func(m *move) { m.source.stop(never) }, source: vmm.WireDestroyed},
	{name: "target stopped, breaks", breaks: true, do: func(m *move) { m.target.stop(never) }, target: vmm.WireDestroyed},
	{name: "source's stop expires", breaks: true, do: func(m *move) { m.source.stopsAtDeadline(grace) }, source: vmm.WireDestroyed},
	{name: "target's stop expires", breaks: true, do: func(m *move) { m.target.stopsAtDeadline(grace) }, target: vmm.WireDestroyed},
	{name: "source's agent restarted", restarts: true, do: func(m *move) { m.source.restart() }},
	{name: "target's agent restarted", restarts: true, do: func(m *move) { m.target.restart() }},
	{name: "source's agent away", restarts: true, breaks: true, do: func(m *move) { m.source.misses() }},
	{name: "target's agent away", restarts: true, breaks: true, do: func(m *move) { m.target.misses() }},
}

// Whatever fails during a migration, and in whatever phase, the instance never runs twice, each VMM ends once
// and only for a reason, and both sides have the migration's outcome. A short run tries an early phase and the
// last one.
func TestMigrationFaults(t *testing.T) {
	phases := []server.Phase{server.RAMPush, server.Finish}
	if slowTests {
		phases = migrationPhases
	}
	for name, restarts := range map[string]bool{"agents run": false, "agents are killed": true} {
		t.Run(name, func(t *testing.T) {
			to := newHarness(t, setup{restarts: restarts})
			from := newHarness(t, setup{restarts: restarts, sequential: true})
			for _, f := range migrationFaults {
				for _, phase := range phases {
					if f.restarts == restarts {
						t.Run(fmt.Sprintf("%s in %s", f.name, phase), func(t *testing.T) { f.try(from.in(t), to.with(t), phase) })
					}
				}
			}
		})
	}
}

func (f migrationFault) try(from, to *harness, phase server.Phase) {
	breaks := f.breaks && phase != server.Finish
	m, migration := holdMigration(from, to, phase, breaks)
	var watched sync.WaitGroup
	watched.Go(m.watch)
	defer watched.Wait()
	defer close(m.ended)
	source, target, outcome := f.source, f.target, vmm.MigrationFailed
	if breaks {
		target = cmp.Or(target, vmm.WireFailed)
	} else {
		source, outcome = cmp.Or(source, vmm.WireDestroyed), vmm.MigrationCompleted
	}
	sides := []migrationSide{{m.source, source}, {m.target, target}}
	f.do(m)
	if breaks {
		slices.Reverse(sides) // The source runs again when the target has ended.
	}
	for _, s := range sides {
		s.letGo()
		s.concludes(migration, outcome)
	}
	for _, s := range sides {
		if s.end == "" {
			s.is(vmm.WireRunning)
			s.stop(never)
			s.end = vmm.WireDestroyed
			s.concludes(migration, outcome)
		}
	}
}

// The same before the first phase, which the agent waits for: its PUT /instance is not answered, whether carried out
// or not.
func TestMigrationFaultsBeforeItsPhases(t *testing.T) {
	h := newHarness(t, setup{restarts: true})
	for _, mode := range []string{"hang-ensure", "mute-ensure"} {
		for name, c := range map[string]struct {
			do      func(*vm)
			end     vmm.WireState
			outcome vmm.MigrationState
		}{
			"killed":          {func(v *vm) { v.do("crash") }, vmm.WireFailed, vmm.MigrationFailed},
			"stopped":         {func(v *vm) { v.stop(grace) }, vmm.WireDestroyed, vmm.MigrationFailed},
			"agent restarted": {func(v *vm) { v.setFaults(); v.restart() }, "", vmm.MigrationCompleted},
		} {
			t.Run(mode+" "+name, func(t *testing.T) {
				id := uuid.New()
				v := h.in(t).newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(t), MigrationID: &id})
				v.serverScript(withFaults(mode))
				v.register()
				v.call("PUT", v.path()+"/state", migrateBody("127.0.0.1:1")).wants(t, http.StatusOK)
				v.isAsked("ensure")
				if c.end != "" {
					v.mayEnd()
				}
				c.do(v)
				migrationSide{v, c.end}.concludes(id, c.outcome)
				if c.end == "" {
					v.is(vmm.WireRunning)
					v.stopAndEnd()
				}
			})
		}
	}
}

// A migrationSide is a VMM and the state that it must end in; empty: it must run.
type migrationSide struct {
	*vm
	end vmm.WireState
}

// concludes waits until the VMM has ended, or runs, and checks the migration in its record.
func (s migrationSide) concludes(id uuid.UUID, outcome vmm.MigrationState) {
	s.t.Helper()
	if s.end != "" {
		s.ends(s.end)
	}
	var m vmm.Migration
	s.row("after the migration", func(r nexussim.Row) bool {
		m = migrationOf(r)
		return ended(r) || r.State() == vmm.WireRunning && (m.State == vmm.MigrationFailed || m.State == vmm.MigrationCompleted)
	})
	if m.ID != id || m.State != outcome {
		s.t.Errorf("VMM %s has the migration %+v, want %s %s", s.vm.id, m, id, outcome)
	}
}

// misses lets the migration go on while the VMM has no agent.
func (v *vm) misses() {
	v.t.Helper()
	a := v.agent()
	a.kill()
	v.letGo()
	waitFor(v.t, func() string {
		if v.view().State == server.Migrating {
			return "the VM is still Migrating"
		}
		return ""
	})
	v.replace(a)
}
