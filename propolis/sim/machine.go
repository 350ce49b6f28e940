package sim

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/propolis/server"
)

// A machine is a server.Machine that consists of the script that it plays: what takes time is
// a step that waits for a timer. It has no goroutine.
type machine struct {
	s  *Server
	vm *server.VM

	script []step
	timer  *time.Timer // of the next step; nil unless it runs
	obey   *time.Timer // until the guest obeys its power button; nil unless it runs
	made   bool        // PUT /instance was answered
}

// A step of a script waits and then happens.
type step struct {
	after time.Duration
	then  func(*machine)
}

// make is server.Options.Make.
func (s *Server) make(vm *server.VM) server.Machine {
	s.machine = &machine{s: s, vm: vm}
	return s.machine
}

// Make implements server.Machine.
func (m *machine) Make() {
	if m.vm.Ensured().Target {
		m.play(m.s.times.immigrate(m.s.faults.failMigration))
	} else {
		m.play(m.s.times.create(m.s.faults.failCreate))
	}
}

// Begin implements server.Machine.
func (m *machine) Begin(r server.Request) {
	t, f := m.s.times, &m.s.faults
	switch r {
	case server.Run:
		m.play(t.start(f.failStart))
	case server.Stop:
		m.play(t.halt())
	case server.Reboot:
		m.play(t.restart())
	case server.MigrateOut:
		m.play(t.emigrate(f.failMigration))
	}
}

// StopStarting implements server.Machine.
func (m *machine) StopStarting() { m.play(m.s.times.stopped(0)) }

// Press implements server.Machine.
func (m *machine) Press() {
	stop(&m.obey)
	if !m.s.faults.ignoreButton {
		m.after(&m.obey, m.s.faults.obeyAfter, func() { m.vm.Obeys() })
	}
}

// Snapshot implements server.Snapshotter. There is no disk.
func (m *machine) Snapshot(context.Context, string, uuid.UUID) error { return nil }

// Close implements server.Machine.
func (m *machine) Close() {
	m.play(nil)
	stop(&m.obey)
}

// play replaces the current script.
func (m *machine) play(script []step) {
	stop(&m.timer)
	m.script = script
	m.advance()
}

// advance performs all due steps and arms the timer for the next one.
func (m *machine) advance() {
	for len(m.script) > 0 && m.timer == nil && !m.held() && !m.s.closed() {
		st := m.script[0]
		if st.after > 0 {
			m.after(&m.timer, st.after, func() {
				m.script[0].after = 0
				m.advance()
			})
			return
		}
		m.script = m.script[1:]
		st.then(m)
	}
}

// held reports whether a fault keeps the VM in its state. A migration is held only after
// PUT /instance was answered.
func (m *machine) held() bool {
	state := m.vm.View().State
	return slices.Contains(m.s.faults.stay, state) && (state != server.Migrating || m.made)
}

// after does something later, unless the timer is stopped before.
func (m *machine) after(t **time.Timer, d time.Duration, do func()) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		m.vm.Enter(func() {
			if *t == timer {
				*t = nil
				do()
			}
		})
	})
	*t = timer
}

func stop(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
	}
	*t = nil
}
