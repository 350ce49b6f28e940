package server

import (
	"context"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// A Machine is one virtual machine: what a VM of the API consists of. The Server makes it by
// Options.Make for each PUT /instance and calls its methods one at a time, with its lock
// held. They begin something and return without blocking. The Machine tells its VM what
// becomes of it: from within these methods, or later from within VM.Enter.
//
// Make, Begin and VM.Begins keep the VM's queue waiting; VM.Made (after a cold start),
// VM.Runs, VM.RunsDown and VM.Ends end that. So a Machine does one thing at a time, and only
// StopStarting, Press and Close come while it does something.
//
//	Make, cold start        Made, or Ends(Failed)
//	Make, migration target  Made after Sync, ShowPhase each phase, Runs; or Ends(Failed)
//	Begin(Run)              Publish(Starting), Runs; or RunsDown, Ends(Failed)
//	Begin(Stop)             Publish(Stopping), RunsDown, Publish(Stopped), Ends(Destroyed)
//	Begin(Reboot)           Publish(Rebooting), Runs
//	Begin(MigrateOut)       ShowPhase each phase, RunsDown, Publish(Stopping), Ends(Destroyed); or Runs
//	StopStarting            RunsDown, Publish(Stopped), Ends(Destroyed)
//	guest powers off        Begins, then as Begin(Stop)
//	guest resets            Begins, then as Begin(Reboot)
//	failure at any time     Ends(Failed)
type Machine interface {
	// Make begins to make the VM's objects. The VM is Creating; or Migrating in Sync, if
	// Ensured.Target.
	Make()
	// Begin begins the next request of the queue.
	Begin(Request)
	// StopStarting abandons a Run in progress, in Starting: a Stop was requested, and there
	// is no guest yet to stop.
	StopStarting()
	// Press presses the guest's power button, for a soft stop or reboot. If the guest then
	// shuts down, the Machine tells VM.Obeys. If it does not in time, Begin follows.
	Press()
	// Close begins to release everything. It is the last call, in any state, also after
	// Ends; VM.Enter does nothing from then on.
	Close()
}

// What not every Machine can do is an interface of its own, which an operation in api.go asks
// for.

// A Snapshotter is a Machine that can take snapshots of Crucible disks. To others no disk has
// that ability.
type Snapshotter interface {
	// Snapshot takes a snapshot of the disk with this key in the spec. It is called without
	// the lock and may block until ctx ends, which is when the Server is closed. The disk is a
	// Crucible backend of the spec.
	Snapshot(ctx context.Context, disk string, id uuid.UUID) error
}

// A Migrator is a Machine that can migrate to another server's, which is of the same kind. The
// target's Machine begins it: its Make asks the source's server, Ensured.Source, for GET
// /instance/migrate/{migration_id}/start. To others no VM can migrate.
type Migrator interface {
	Machine
	// Protocol is the WebSocket subprotocol that the Machines speak. A target that does not
	// speak it is refused.
	Protocol() string
	// Connect gives the Machine the connection to the target before Begin(MigrateOut). It is
	// called with the lock held. ended is closed when the Machine does not use the connection
	// any more; at the latest, soon after Close.
	Connect(target *websocket.Conn) (ended <-chan struct{})
}
