// Package sim is a simulated Propolis server: the real API, version 6.0.0 (or 5 or 7), for
// a VM that is only a state. cmd/propolis-sim serves it as a program. Tests use it in
// process, even thousands at a time, and in testing/synctest bubbles.
//
// It simulates faithfully: the framework's policies; PUT /instance with strict specs, for
// a cold start and as a migration target; which state changes are allowed when (rulings);
// the resulting states, generations and migration records; the state monitor, which
// returns only the latest view; and the rundown, in which only the monitor still works
// and every other call gets 424.
//
//	cold start      Creating -> (Run) Starting -> Running
//	stop, poweroff  Stopping -> Stopped -> Destroyed
//	reboot          Rebooting -> Running
//	soft stop       Running, until the guest obeys its power button or its time is over
//	migration in    Migrating, phase by phase -> Running
//	migration out   Migrating, phase by phase -> Stopping -> Destroyed
//	failure         Failed
//
// Faults are a value (Faults), given at the start (Options) and replaced at any time
// (Server.SetFaults, PUT /sim/faults). What a real VM does by itself is an action
// (Server.Do, POST /sim/do/ACTION). Modes and Actions list both; "propolis-sim modes"
// prints them. GET /sim/state shows the current state. Paths below /sim/ need no
// api-version, and no fault affects them.
//
// As in the real server, a call goes on when its client disconnects: a monitor stays
// pending until the VM reaches its generation (GET /sim/state counts them), and a PUT
// /instance makes its VM. A call that a fault keeps from being carried out ends with its
// client.
//
// Requests are checked against openapi.json; rules that a schema cannot express are here
// (convertible) and in package dropshot. One mutex guards a Server. Its only goroutines
// are those of its calls: whatever takes time is a script of steps (scripts.go) advanced
// by one timer. Nothing is logged or done to the process while the mutex is held. There is
// no disk, no guest and no migration source: a migration target makes its spec up.
//
// The package must not use the agent's own Propolis client. Client and simulator are
// written independently from the same contract, so that one's mistake is not also the
// other's. For the same reason it imports from the module only the server side of the
// framework.
package sim
