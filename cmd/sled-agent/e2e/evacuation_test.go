package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/disposition"
	"github.com/sledagent/sledagent/agent/publish/nexussim"
	"github.com/sledagent/sledagent/agent/vmm"
	"github.com/sledagent/sledagent/agent/wire"
)

// A move is an instance that leaves the source's sled, as Nexus would move it.
type move struct {
	source *vm
	target *vm // of the newest attempt
	// shown is target for other goroutines, underWay whether a target has been under way.
	shown    atomic.Pointer[vm]
	underWay atomic.Bool
	ended    chan struct{}
}

// succeed makes a VMM the source's successor.
func (m *move) succeed(v *vm) {
	m.target = v
	m.shown.Store(v)
}

// attempt begins a migration to a sled, and waits until the target is under way or has
// failed. modes are the faults of the target's server.
func (m *move) attempt(to *harness, modes ...string) (migration uuid.UUID, underWay bool) {
	to.t.Helper()
	migration = uuid.New()
	v := to.newVMWith(wire.BodyOptions{PropolisAddr: freeAddr(to.t), MigrationID: &migration})
	v.serverScript(withFaults(modes...))
	v.register()
	if !slices.Equal(modes, []string{"stay-migrating"}) {
		v.mayEnd()
	}
	m.succeed(v)
	got, repeated := v.try("PUT", v.path()+"/state", migrateBody(m.source.serverAddr.String()))
	if !repeated || !v.mayHaveEnded() {
		got.wants(v.t, http.StatusOK)
	}
	row := v.row("under way", func(r nexussim.Row) bool {
		in := r.Record
		return in != nil && in.MigrationIn != nil && in.MigrationIn.State != vmm.MigrationPending
	})
	underWay = row.Record.MigrationIn.State == vmm.MigrationInProgress
	m.underWay.Store(underWay)
	return migration, underWay
}

// leave begins the migration at its source, which has stopped running when it returns.
func (m *move) leave(migration uuid.UUID) {
	m.source.t.Helper()
	m.source.do("migrate-out?id=" + migration.String())
	m.source.row("migrating", func(r nexussim.Row) bool {
		return r.Record != nil && r.Record.MigrationOut != nil && r.Record.MigrationOut.ID == migration
	})
}

// arrive lets the target run, which the source has left.
func (m *move) arrive(migration uuid.UUID) {
	m.source.t.Helper()
	m.source.setFaults()
	m.source.endsDestroyed()
	if out := m.source.lastRecord().MigrationOut; out == nil || out.ID != migration || out.State != vmm.MigrationCompleted {
		m.source.t.Errorf("the source of migration %s has the record %v", migration, out)
	}
	m.target.setFaults()
	m.target.reaches(vmm.WireRunning)
	m.target.identifyServer()
	row := m.target.row("migrated", func(r nexussim.Row) bool { return r.Record.MigrationIn.State == vmm.MigrationCompleted })
	if in := row.Record.MigrationIn; in.ID != migration {
		m.target.t.Errorf("the target of migration %s has the record %v", migration, in)
	}
}

func (v *vm) lastRecord() vmm.Record {
	row, _ := v.nexus.Row(v.id)
	return *row.Record
}

// migrate moves the instance without faults.
func (m *move) migrate(to *harness) {
	m.source.t.Helper()
	migration, ok := m.attempt(to, "stay-migrating")
	if !ok {
		m.source.t.Errorf("the target of VMM %s has failed", m.source.id)
		return
	}
	m.leave(migration)
	m.arrive(migration)
}

// refused: the target fails before the source is involved. The source runs on, and the
// next migration succeeds.
func (m *move) refused(to *harness) {
	m.source.t.Helper()
	if _, ok := m.attempt(to, "refuse-ensure=500:Internal"); ok {
		m.source.t.Errorf("the target of VMM %s is under way", m.source.id)
	}
	m.target.endsFailed()
	m.source.is(vmm.WireRunning)
	m.migrate(to)
}

// breaks: the migration fails on both sides. The source runs again, and the next migration
// succeeds.
func (m *move) breaks(to *harness) {
	m.source.t.Helper()
	m.source.setFaults("stay-migrating", "fail-migration")
	migration, ok := m.attempt(to, "stay-migrating", "fail-migration")
	if !ok {
		m.source.t.Errorf("the target of VMM %s has failed at once", m.source.id)
		return
	}
	m.leave(migration)
	m.target.setFaults()
	m.target.endsFailed()
	m.source.setFaults()
	m.source.row("back", func(r nexussim.Row) bool {
		return r.State() == vmm.WireRunning && r.Record.MigrationOut != nil && r.Record.MigrationOut.State == vmm.MigrationFailed
	})
	m.source.setFaults("stay-migrating")
	m.migrate(to)
}

// dies: the source's server is killed during the migration. Both sides fail, and Nexus
// starts the instance again on the other sled.
func (m *move) dies(to *harness) {
	m.source.t.Helper()
	migration, ok := m.attempt(to, "stay-migrating", "fail-migration")
	if !ok {
		m.source.t.Errorf("the target of VMM %s has failed at once", m.source.id)
		return
	}
	m.leave(migration)
	m.source.backend.halt(m.source)
	m.source.endsFailed()
	m.source.migrationFailed()
	m.target.setFaults()
	m.target.endsFailed()
	m.target.migrationFailed()
	m.succeed(to.launch())
}

// watch checks until ended is closed that no two VMMs of the instance run. The target is
// asked first: once it runs, the source must not.
func (m *move) watch() {
	for {
		if v := m.shown.Load(); v != nil && v.says(vmm.WireRunning) && m.source.says(vmm.WireRunning) {
			m.source.t.Errorf("VMM %s and its successor %s run at the same time", m.source.id, v.id)
		}
		select {
		case <-m.ended:
			return
		default:
			pause(watchInterval)
		}
	}
}

// says reports whether the agent, if it answers, has the VMM in this state.
func (v *vm) says(state vmm.WireState) bool {
	got, err := v.ask(bounded(v.t), "GET", v.path()+"/state", nil)
	return err == nil && got.status == http.StatusOK && got.record(v.t).VMM.State == state
}

// Nexus evacuates a sled by migrating its VMMs to another one, whose agent is killed
// meanwhile; some migrations fail. Nothing is lost: in the end the sled is empty, each
// instance runs once, and at no moment ran twice.
func TestEvacuation(t *testing.T) {
	to := newHarness(t, setup{restarts: true})
	from := newHarness(t, setup{sequential: true})
	sources := from.launchMany(20)
	from.configure(1, disposition.Evacuating)
	from.takesNoVMM()
	if value, held, generation := from.inventory(); value != disposition.Evacuating || held != len(sources) || generation != 1 {
		t.Errorf("the sled is %s by generation %d and has %d VMMs", value, generation, held)
	}
	endRestarts := to.keepRunning()
	var all sync.WaitGroup
	var moves []*move
	for i, v := range sources {
		m := &move{source: v, ended: make(chan struct{})}
		moves = append(moves, m)
		v.setFaults("stay-migrating") // until its target may run
		how := []func(*harness){m.migrate, m.refused, m.migrate, m.breaks, m.dies}[i%5]
		all.Go(m.watch)
		all.Go(func() {
			defer close(m.ended)
			how(to)
		})
	}
	waitFor(t, func() string { return atLeast(moves, len(moves)/3, (*move).isUnderWay) })
	to.agent().kill()
	waitFor(t, func() string { return atLeast(moves, len(moves)/2, (*move).isOver) })
	to.agent().kill()
	all.Wait()
	endRestarts()
	waitFor(t, func() string {
		if value, held, _ := from.inventory(); value != disposition.Evacuating || held != 0 {
			return fmt.Sprintf("the sled is %s and has %d VMMs", value, held)
		}
		return ""
	})
	from.checkNothingLeft(from.agent())
	var targets []*vm
	for _, m := range moves {
		m.target.is(vmm.WireRunning)
		targets = append(targets, m.target)
	}
	if _, held, _ := to.inventory(); held != len(targets) {
		t.Errorf("the other sled has %d VMMs, and %d instances", held, len(targets))
	}
	stopAll(targets, never)
	for _, v := range targets {
		v.endsDestroyed()
	}
}

func (m *move) isUnderWay() bool { return m.underWay.Load() }

func (m *move) isOver() bool {
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

// atLeast returns what is missing to n moves of which holds is true.
func atLeast(moves []*move, n int, holds func(*move) bool) string {
	have := 0
	for _, m := range moves {
		if holds(m) {
			have++
		}
	}
	if have >= n {
		return ""
	}
	return fmt.Sprintf("%d moves, want %d", have, n)
}
