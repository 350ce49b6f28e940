package server

import "github.com/google/uuid"

// A VM is the Server's side of one virtual machine: its stage, its queue and its view. All
// methods but Enter need the Server's lock, which a Machine's methods have.
type VM struct {
	s       *Server
	ensured *Ensured
	machine Machine
	view    View

	stage    stage
	unmade   bool // making its objects failed
	gone     bool // another VM replaced it, or it was lost
	busy     bool // the machine does something, for which the queue waits
	standing standing
	pending  []Request // at most one of each kind

	soft         *softRequest // nil if none is pending
	rebootQueued bool
	leaving      bool // the last migration leads out of this server
	outID        uuid.UUID
}

// A stage is how far a VM is, and whether it accepts requests.
type stage uint8

const (
	initialising stage = iota
	active
	rundown // the driver has exited; its objects are being released
	ended   // only the last state remains; a new VM may replace it
)

// Enter calls do with the Server's lock held, unless the VM has left the Server, and then
// goes on with the queue. A Machine calls it for everything that happens later, from any
// goroutine that does not hold the lock.
func (v *VM) Enter(do func()) {
	v.s.Enter(func() {
		if !v.gone && !v.s.closed() {
			do()
		}
	})
}

// Later calls do once the lock is released: for logging, for example.
func (v *VM) Later(do func()) { v.s.out = append(v.s.out, do) }

// Ensured returns what the VM was made from.
func (v *VM) Ensured() *Ensured { return v.ensured }

// View returns the VM's view.
func (v *VM) View() View { return v.view }

// Made tells that the VM's objects exist. PUT /instance is answered and requests are accepted.
// After a cold start the queue goes on; a migration target is busy until Runs.
func (v *VM) Made() {
	v.stage = active
	v.busy = v.ensured.Target
	v.s.wake()
}

// Begins tells that the guest does something by itself. The queue waits until it is over.
func (v *VM) Begins() { v.busy = true }

// Publish shows a state with the next generation.
func (v *VM) Publish(state State) {
	if v.s.defects.Backwards {
		v.view.Gen = max(v.view.Gen, 1) - 1
	} else {
		v.view.Gen++
	}
	v.view.State = state
	if state != Running {
		v.endSoft()
	}
	v.s.wake()
	v.note()
	v.s.interceptor.Entered(v, state)
}

// ShowPhase publishes Migrating with a phase of the current migration: out of this server
// after Begin(MigrateOut), else into it.
func (v *VM) ShowPhase(phase Phase) {
	if v.leaving {
		v.view.Migration.Out = &Migration{ID: v.outID, State: phase}
	} else {
		v.view.Migration.In = &Migration{ID: v.ensured.Migration, State: phase}
	}
	v.Publish(Migrating)
}

// Runs tells that the guest runs: it was started, restarted, has arrived, or stays after all.
// It publishes Running, and the queue goes on.
func (v *VM) Runs() {
	if v.standing == startPending || v.standing == migrateOutQueued && v.view.State == Migrating {
		v.standing = started
	}
	v.rebootQueued, v.busy = false, false
	v.Publish(Running)
}

// Obeys tells that the guest has shut down after Press: the soft request is carried out now. It
// returns false if none is pending. Then the guest powers off by itself.
func (v *VM) Obeys() bool {
	if v.soft == nil {
		return false
	}
	v.Later(func() { v.s.log.Info().Msg("guest has shut down") })
	v.ask(v.soft.request)
	return true
}

// RunsDown tells that the guest will not run any more and no more requests are accepted. It
// publishes nothing.
func (v *VM) RunsDown() {
	v.stage, v.standing, v.pending = rundown, over, nil
}

// Ends tells that the VM has ended, in Destroyed or Failed, and its objects are released. It
// publishes that state. Before Made, PUT /instance fails.
func (v *VM) Ends(in State) {
	v.unmade = v.unmade || v.stage == initialising
	v.RunsDown()
	v.stage = ended
	v.Publish(in)
}

// leave removes the VM from the server: it never changes again.
func (v *VM) leave() {
	v.close()
	v.gone, v.stage = true, ended
	v.s.wake()
}

func (v *VM) close() {
	v.endSoft()
	v.machine.Close()
}

func (v *VM) note() {
	view := v.view
	v.Later(func() { v.s.log.Info().Str("state", string(view.State)).Uint64("gen", view.Gen).Msg("VM changed") })
}
