package sim

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// A stage is how far a VM is, and whether it accepts requests.
type stage uint8

const (
	initialising stage = iota
	active
	rundown // the driver has exited; its objects are being released
	ended   // only the last state remains; a new VM may replace it
)

// A vm is one virtual machine. It is guarded by its Server's mutex and has no goroutine:
// what takes time is a script whose next step waits for a timer.
type vm struct {
	s    *Server
	made *ensured
	view View

	stage    stage
	unmade   bool // making its objects failed
	gone     bool // another VM replaced it, or it was lost
	standing standing
	pending  []request // at most one of each kind

	soft         *softRequest // nil if none is pending
	rebootQueued bool
	booting      bool // a start is in progress, which a stop may interrupt
	leaving      bool // the last migration leads out of this server
	outID        uuid.UUID

	script []step
	due    bool        // the delay of the next step has passed
	timer  *time.Timer // of the next step; nil unless it runs
}

// A step of a script waits, then does something, then shows a state.
type step struct {
	after time.Duration
	then  func(*vm)
	phase Phase // phase of the current migration; "" leaves its record unchanged
	state State // "" publishes nothing
}

// publish shows a state with the next generation.
func (v *vm) publish(state State) {
	if v.s.faults.backwards {
		v.view.Gen = max(v.view.Gen, 1) - 1
	} else {
		v.view.Gen++
	}
	v.view.State = state
	if state != Running {
		v.endSoft()
	}
	v.s.wake()
	v.s.noteState(v.view)
	if slices.Contains(v.s.faults.crashIn, state) {
		v.s.later(func() { v.s.perform(Process.Crash) })
	}
}

// show sets the phase of the current migration.
func (v *vm) show(phase Phase) {
	if v.leaving {
		v.view.Migration.Out = &Migration{ID: v.outID, State: phase}
	} else {
		v.view.Migration.In = &Migration{ID: v.made.migration, State: phase}
	}
}

// ask puts a request to the queue.
func (v *vm) ask(r request) ruling {
	ruling := rule(v.standing, v.rebootQueued, r)
	if ruling != take {
		return ruling
	}
	v.endSoft() // It is interrupted, or carried out here.
	switch r {
	case run:
		v.standing = startPending
	case reboot:
		v.rebootQueued = true
	case migrateOut:
		v.standing = migrateOutQueued
	case stop:
		v.standing = stopQueued
		if v.booting {
			v.interrupt(v.s.times.stopped(0)) // There is no guest to stop.
			return ruling
		}
	}
	v.pending = append(v.pending, r)
	v.advance()
	return ruling
}

// interrupt replaces the current script.
func (v *vm) interrupt(script []step) {
	v.cancel()
	v.script = script
	v.advance()
}

// cancel ends the script permanently.
func (v *vm) cancel() {
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
	v.script, v.due, v.booting = nil, false, false
	v.endSoft()
}

// leave removes the VM from the server: it never changes again.
func (v *vm) leave() {
	v.cancel()
	v.gone, v.stage = true, ended
	v.s.wake()
}

// advance performs all due steps, takes the next request when a script has ended, and arms
// the timer for the next step.
func (v *vm) advance() {
	for len(v.script) > 0 || v.next() {
		st := v.script[0]
		if v.timer != nil || v.held() || v.s.closed() {
			return
		}
		if st.after > 0 && !v.due {
			v.arm(st.after)
			return
		}
		v.script, v.due = v.script[1:], false
		v.do(st)
	}
}

func (v *vm) do(st step) {
	if st.then != nil {
		st.then(v)
	}
	if st.phase != "" {
		v.show(st.phase)
	}
	if st.state != "" {
		v.publish(st.state)
	}
}

// held reports whether a fault keeps the VM in its state. A migration is held only after
// PUT /instance was answered.
func (v *vm) held() bool {
	if v.view.State == Migrating && v.stage == initialising {
		return false
	}
	return slices.Contains(v.s.faults.stay, v.view.State)
}

// arm makes the next step due in d.
func (v *vm) arm(d time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		v.s.lock()
		defer v.s.unlock()
		if v.timer != timer {
			return // the script was interrupted
		}
		v.timer, v.due = nil, true
		v.advance()
	})
	v.timer = timer
}
