package server

import (
	"github.com/google/uuid"
)

// What is in this file is for a simulator's faults. A real server uses none of it.

// An Interceptor intercepts calls and states.
type Interceptor interface {
	// Arrived is called before the body of a PUT /instance or a state monitor is read. It may
	// block, and abort.
	Arrived(*Exchange)
	// Serve serves a valid call. A real server sends what CarryOut returns, detached.
	Serve(*Exchange)
	// Entered is called when a VM has entered a state, with the lock held.
	Entered(*VM, State)
}

// truly intercepts nothing.
type truly struct{}

func (truly) Arrived(*Exchange)  {}
func (truly) Serve(x *Exchange)  { x.Send(x.Detach(x.CarryOut)) }
func (truly) Entered(*VM, State) {}

// Defects are faults of the Server itself.
type Defects struct {
	// Backwards makes generations fall instead of rising. Then a monitor answers any change;
	// otherwise none would ever show it.
	Backwards bool
	// HangSoft keeps soft requests from being forced.
	HangSoft bool
	// Instance is shown in place of the VM's instance id; the zero id means none.
	Instance uuid.UUID
}

// fallFrom is the first generation of a VM whose generations fall.
const fallFrom = 1000

// SetDefects replaces all defects. It needs the lock.
func (s *Server) SetDefects(d Defects) {
	s.defects = d
	s.wake()
}

// Lose removes the VM, as a restart of the server does. It needs the lock.
func (s *Server) Lose() {
	s.vm.leave()
	s.vm = nil
}

// Forget goes back to generation 1, in any state, without waking monitors.
func (v *VM) Forget(state State) {
	v.endSoft()
	v.busy, v.pending, v.rebootQueued, v.leaving = false, nil, false, false
	v.view = View{Gen: 1, State: state}
	switch state {
	case Creating:
		v.stage, v.standing = initialising, notStarted
	case Destroyed, Failed:
		v.RunsDown()
		v.stage = ended
	case Stopped:
		v.RunsDown()
	default:
		v.stage, v.standing = active, started
	}
	v.note()
}

// Ended reports whether the VM has ended.
func (v *VM) Ended() bool { return v.stage == ended }

// Queue returns the state of the queue.
func (v *VM) Queue() string { return string(v.standing) }

// Soft returns the stop or reboot that waits for the guest; empty if there is none.
func (v *VM) Soft() string {
	if v.soft == nil {
		return ""
	}
	return map[Request]string{Stop: "stop", Reboot: "reboot"}[v.soft.request]
}
