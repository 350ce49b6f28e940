package sim

// A request is an entry of a VM's queue, from PUT /instance/state or from a migration
// target.
type request uint8

const (
	run request = iota
	stop
	reboot
	migrateOut
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
	notStarted:       {run: take, stop: take, reboot: notActive, migrateOut: notActive},
	startPending:     {run: ignore, stop: take, reboot: currentlyStarts, migrateOut: currentlyStarts},
	started:          {run: ignore, stop: take, reboot: take, migrateOut: take},
	stopQueued:       {run: haltPending, stop: ignore, reboot: haltPending, migrateOut: haltPending},
	migrateOutQueued: {run: ignore, stop: take, reboot: migrationSource, migrateOut: migrationSource},
	over:             {run: hasEnded, stop: ignore, reboot: hasEnded, migrateOut: hasEnded},
}

// rule decides on a request. A second reboot before the first has happened is the same
// reboot.
func rule(at standing, rebootQueued bool, r request) ruling {
	if r == reboot && rebootQueued && at == started {
		return ignore
	}
	return rulings[at][r]
}
