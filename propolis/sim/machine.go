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
	due    bool        // the delay of the next step has passed
	timer  *time.Timer // of the next step; nil unless it runs
	made   bool        // PUT /instance was answered
	obey   *time.Timer // until the guest obeys its power button; nil if it was not pressed
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
	stop(m.obey)
	if m.s.faults.ignoreButton {
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(m.s.faults.obeyAfter, func() {
		m.vm.Enter(func() {
			if m.obey == timer {
				m.vm.Obeys()
			}
		})
	})
	m.obey = timer
}

// Snapshot implements server.Snapshotter. There is no disk.
func (m *machine) Snapshot(context.Context, string, uuid.UUID) error { return nil }

// Close implements server.Machine.
func (m *machine) Close() {
	m.play(nil)
	stop(m.obey)
}

// play replaces the current script.
func (m *machine) play(script []step) {
	stop(m.timer)
	m.script, m.due, m.timer = script, false, nil
	m.advance()
}

func stop(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

// advance performs all due steps and arms the timer for the next one.
func (m *machine) advance() {
	for len(m.script) > 0 && m.timer == nil && !m.held() && !m.s.closed() {
		st := m.script[0]
		if st.after > 0 && !m.due {
			m.arm(st.after)
			return
		}
		m.script, m.due = m.script[1:], false
		st.then(m)
	}
}

// held reports whether a fault keeps the VM in its state. A migration is held only after
// PUT /instance was answered.
func (m *machine) held() bool {
	state := m.vm.View().State
	return slices.Contains(m.s.faults.stay, state) && (state != server.Migrating || m.made)
}

// arm makes the next step due in d.
func (m *machine) arm(d time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		m.vm.Enter(func() {
			if m.timer == timer { // The script was not replaced.
				m.timer, m.due = nil, true
				m.advance()
			}
		})
	})
	m.timer = timer
}
