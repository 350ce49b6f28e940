package sim

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// A life says whether there is somebody in the VM who takes requests.
type life uint8

const (
	initialising life = iota
	active
	rundown // the driver has exited; what it held is being released
	ended   // only the last state is left; a new VM may take its place
)

// A vm is one virtual machine. All of it is guarded by its Server's mutex, and
// no goroutine belongs to it: what takes time is a script whose next step waits
// for a timer.
type vm struct {
	s    *Server
	made *ensured
	view View

	life     life
	unmade   bool // its objects could not be made
	gone     bool // another VM took its place, or it was lost
	standing standing
	pending  []request // at most one of each kind

	rebootQueued bool
	booting      bool // a start is under way, which a stop may interrupt
	leaving      bool // the last migration is one out of this server
	outID        uuid.UUID

	script []step
	due    bool        // the next step has had its wait
	timer  *time.Timer // of the next step; nil unless it runs
	epoch  uint64      // of the timer; an interrupted script's is over

	changed chan struct{} // closed at the next change; nil while nobody waits
}

// A step of a script: after a while, do something, then show a state.
type step struct {
	after time.Duration
	then  func(*vm)
	phase Phase // of the migration under way; "" leaves its record alone
	state State // "" shows nothing new
}

// wait returns a channel that is closed when anything about the VM changes.
func (v *vm) wait() <-chan struct{} {
	if v.changed == nil {
		v.changed = make(chan struct{})
	}
	return v.changed
}

func (v *vm) wake() {
	if v.changed != nil {
		close(v.changed)
		v.changed = nil
	}
}

// publish shows a state under the next generation.
func (v *vm) publish(state State) {
	if v.s.faults.backwards {
		v.view.Gen = max(v.view.Gen, 1) - 1
	} else {
		v.view.Gen++
	}
	v.view.State = state
	v.wake()
	v.s.noteState(v.view)
	if slices.Contains(v.s.faults.crashIn, state) {
		v.s.later(func() { v.s.perform(Process.Crash) })
	}
}

// show moves the record of the migration under way to a phase.
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
	if !ruling.queue {
		return ruling
	}
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
			v.interrupt(v.s.times.haltWhileStarting())
			return ruling
		}
	}
	v.pending = append(v.pending, r)
	v.advance()
	return ruling
}

// interrupt replaces what is under way by another script.
func (v *vm) interrupt(script []step) {
	v.cancel()
	v.script = script
	v.advance()
}

// cancel ends the script for good.
func (v *vm) cancel() {
	v.disarm()
	v.script, v.due, v.booting = nil, false, false
}

// leave takes the VM out of the server: nobody will see it change again.
func (v *vm) leave() {
	v.cancel()
	v.gone, v.life = true, ended
	v.wake()
}

// advance does every step that is due, takes the next request when a script has
// ended, and arms the timer for the next step that has to wait.
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

// held tells whether a fault keeps the VM in the state it is in. A migration
// gets stuck once PUT /instance was answered, not before.
func (v *vm) held() bool {
	if v.view.State == Migrating && v.life == initialising {
		return false
	}
	return slices.Contains(v.s.faults.stay, v.view.State)
}

// arm makes the next step due in d.
func (v *vm) arm(d time.Duration) {
	v.epoch++
	epoch := v.epoch
	v.timer = time.AfterFunc(d, func() {
		v.s.lock()
		defer v.s.unlock()
		if v.epoch != epoch {
			return
		}
		v.timer, v.due = nil, true
		v.advance()
	})
}

func (v *vm) disarm() {
	v.epoch++
	if v.timer != nil {
		v.timer.Stop()
		v.timer = nil
	}
}
