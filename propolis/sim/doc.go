// Package sim is a simulated Propolis server: the real API, version 6.0.0, over
// a VM that is nothing but its state. cmd/propolis-sim serves it as a program;
// tests use it in process, thousands at a time if need be, and in
// testing/synctest bubbles.
//
// What it serves truly: the api-version policy, x-request-id, error bodies and
// body limits; PUT /instance with its strict specs, cold and as a migration
// target; which state changes are legal when (rulings); the states, generations
// and migration records that follow; the state monitor, which answers with the
// latest view only; and the rundown, in which the monitor goes on working while
// everything else gets 424.
//
//	cold start      Creating -> (Run) Starting -> Running
//	stop, poweroff  Stopping -> Stopped -> Destroyed
//	reboot          Rebooting -> Running
//	migration in    Migrating, phase by phase -> Running
//	migration out   Migrating, phase by phase -> Stopping -> Destroyed
//	failure         Failed
//
// What it does wrong is a value (Faults), given at the start (Options) and
// replaced at any time (Server.SetFaults, PUT /sim/faults). What happens by
// itself in a real VM is an action (Server.Do, POST /sim/do/ACTION). GET
// /sim/state shows what is going on. Paths below /sim/ want no api-version and
// no fault touches them.
//
// One mutex guards a Server. It has no goroutine of its own: whatever takes time
// is a script of steps (scripts.go) that one timer moves forward, and nothing is
// logged or done to the process while the mutex is held. There is no disk, no
// guest and no source to migrate from: a migration target makes its spec up.
//
// # Faults
//
//   - hang-CALL: takes the request and never answers; the call is not carried out
//   - deaf-CALL: reads the request's headers only and never answers (run, stop and reboot are told
//     apart by their body, so it is read)
//   - mute-CALL: carries the call out and never answers
//   - half-CALL: carries the call out, sends half of the response and then nothing
//   - trickle-CALL[=DURATION]: carries the call out and sends the response byte by byte, one each
//     DURATION (1s)
//   - reset-CALL: closes the connection without an answer; the call is not carried out
//   - garbage-CALL: carries the call out and answers 200 with something that is no JSON
//   - babble-CALL: carries the call out and answers with something that is no HTTP
//   - flood-CALL: carries the call out and answers 200 with a body that never ends
//   - refuse-CALL=STATUS[:CODE][*TIMES]: answers with this status and error_code; the call is not
//     carried out; the first TIMES times, or always
//   - storm: answers every call at once with 500 Internal
//   - slow-CALL=DURATION: waits before it carries the call out
//   - ignore-CALL: answers 204 and does nothing
//   - stay-STATE: never leaves the state (creating: PUT /instance hangs; migrating: stays in a
//     phase)
//   - crash-in-STATE: the process kills itself when the VM enters the state
//   - crash-before-CALL: the process kills itself instead of carrying the call out
//   - crash-on-CALL: the call is carried out and answered, then the process kills itself
//   - crash-after=DURATION: the process kills itself after a while
//   - exit-after=DURATION: the process exits with status 1 after a while
//   - freeze-after=DURATION: the process stops itself (SIGSTOP) after a while
//   - escape[=DURATION]: starts a process that leaves its session and parent, ignores SIGTERM and
//     sleeps for DURATION (10m)
//   - ignore-term: the process ignores SIGTERM
//   - poweroff-after=DURATION: the guest powers itself off when it has run for a while
//   - poweroff-hang=DURATION: the guest powers itself off when it has run for a while, and hangs in
//     Stopping
//   - lose-vm-after=DURATION: the VM is gone when it has run for a while, as after a restart of the
//     server: 424 everywhere
//   - fail-create: PUT /instance of a cold start answers 500 and the VM is Failed
//   - fail-start: a Run ends in Failed
//   - fail-migration[=PHASE]: a migration, in or out, fails at the end of PHASE (RamPush)
//   - backwards: generations fall instead of rising
//
// CALL is one of get, ensure, run, stop, reboot, monitor, snapshot, spec,
// migration-status and all; STATE is a state in lower case; durations are Go's.
//
// # Actions
//
//   - guest-poweroff: the guest powers itself off
//   - guest-reboot: the guest reboots itself
//   - fail: the VM fails
//   - lose-vm: the VM is gone, as after a restart of the server
//   - migrate-out: the guest leaves for another server; takes the migration's id (migrate-out=UUID)
//   - crash: the process kills itself
//   - exit: the process exits with status 1
//   - freeze: the process stops itself (SIGSTOP)
//
// What must not live here: anything the agent's own Propolis client says about
// the API. Client and simulator are written from the same contract apart from
// each other, so that one's mistake is not also the other's. For the same reason
// this package imports nothing else of the module.
package sim
