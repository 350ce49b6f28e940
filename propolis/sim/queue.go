package sim

// A request is what a VM's queue is asked to take: by PUT /instance/state, or
// by a migration target that wants this VM.
type request uint8

const (
	run request = iota
	stop
	reboot
	migrateOut
	numRequests
)

// A standing says what the queue has been promised so far; it decides what may
// still be asked.
type standing uint8

const (
	notStarted standing = iota
	startPending
	started
	stopQueued
	migrateOutQueued
	over // migrated out, stopped or failed
	numStandings
)

var standingNames = [numStandings]string{"not started", "start pending", "running", "stop queued",
	"migration out queued", "over"}

func (s standing) String() string { return standingNames[s] }

// A ruling is what becomes of a request: it is queued, or ignored with success,
// or denied for the reason given.
type ruling struct {
	queue  bool
	denied string
}

var (
	take   = ruling{queue: true}
	ignore = ruling{}

	notActive       = ruling{denied: "Instance is not active"}
	currentlyStarts = ruling{denied: "Instance is currently starting"}
	haltPending     = ruling{denied: "Instance is preparing to stop"}
	migrationSource = ruling{denied: "Instance is a migration source"}
	hasEnded        = ruling{denied: "Instance has ended"}
)

// rulings is the whole law of PUT /instance/state: standing by request.
var rulings = [numStandings][numRequests]ruling{
	notStarted:       {run: take, stop: take, reboot: notActive, migrateOut: notActive},
	startPending:     {run: ignore, stop: take, reboot: currentlyStarts, migrateOut: currentlyStarts},
	started:          {run: ignore, stop: take, reboot: take, migrateOut: take},
	stopQueued:       {run: haltPending, stop: ignore, reboot: haltPending, migrateOut: haltPending},
	migrateOutQueued: {run: ignore, stop: take, reboot: migrationSource, migrateOut: migrationSource},
	over:             {run: hasEnded, stop: ignore, reboot: hasEnded, migrateOut: hasEnded},
}

// rule decides on a request. A second reboot before the first has happened is
// the same reboot.
func rule(at standing, rebootQueued bool, r request) ruling {
	if r == reboot && rebootQueued && at == started {
		return ignore
	}
	return rulings[at][r]
}
