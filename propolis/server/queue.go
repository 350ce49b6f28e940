package server

// A Request is an entry of a VM's queue, from PUT /instance/state or from a migration
// target.
type Request uint8

// The requests.
const (
	Run Request = iota
	Stop
	Reboot
	MigrateOut
	numRequests
)

// A standing is the state of the queue, which decides what may still be requested.
type standing string

const (
	notStarted       standing = "not started"
	startPending     standing = "start pending"
	started          standing = "running"
	stopQueued       standing = "stop queued"
	migrateOutQueued standing = "migration out queued"
	over             standing = "over" // migrated out, stopped or failed
)

// A ruling is the decision on a request: it is queued, ignored with success, or denied for
// the given reason.
type ruling string

const (
	take   ruling = "queue"
	ignore ruling = "ignore"

	notActive       ruling = "Instance is not active"
	currentlyStarts ruling = "Instance is currently starting"
	haltPending     ruling = "Instance is preparing to stop"
	migrationSource ruling = "Instance is a migration source"
	hasEnded        ruling = "Instance has ended"
)

// rulings are the rules of PUT /instance/state: standing by request.
var rulings = map[standing][numRequests]ruling{
	notStarted:       {Run: take, Stop: take, Reboot: notActive, MigrateOut: notActive},
	startPending:     {Run: ignore, Stop: take, Reboot: currentlyStarts, MigrateOut: currentlyStarts},
	started:          {Run: ignore, Stop: take, Reboot: take, MigrateOut: take},
	stopQueued:       {Run: haltPending, Stop: ignore, Reboot: haltPending, MigrateOut: haltPending},
	migrateOutQueued: {Run: ignore, Stop: take, Reboot: migrationSource, MigrateOut: migrationSource},
	over:             {Run: hasEnded, Stop: ignore, Reboot: hasEnded, MigrateOut: hasEnded},
}

// rule decides on a request. A second reboot before the first has happened is the same
// reboot.
func rule(at standing, rebootQueued bool, r Request) ruling {
	if r == Reboot && rebootQueued && at == started {
		return ignore
	}
	return rulings[at][r]
}

// ask puts a request to the queue.
func (v *VM) ask(r Request) ruling {
	ruling := rule(v.standing, v.rebootQueued, r)
	if ruling != take {
		return ruling
	}
	v.endSoft() // It is interrupted, or carried out here.
	switch r {
	case Run:
		v.standing = startPending
	case Reboot:
		v.rebootQueued = true
	case MigrateOut:
		v.standing = migrateOutQueued
	case Stop:
		v.standing = stopQueued
		if v.busy && v.view.State == Starting {
			v.machine.StopStarting() // There is no guest to stop.
			return ruling
		}
	}
	v.pending = append(v.pending, r)
	v.advance()
	return ruling
}

// advance begins the oldest requests, until the machine is busy.
func (v *VM) advance() {
	for v.stage == active && !v.busy && len(v.pending) > 0 && !v.s.closed() {
		r := v.pending[0]
		v.pending = v.pending[1:]
		v.busy = true
		v.leaving = v.leaving || r == MigrateOut
		v.machine.Begin(r)
	}
}
