// Package server serves the API of a Propolis server, version 6.0.0 (or 5 or 7), over a
// Machine: the simulator of package propolis/sim, or a real guest.
//
// The Server knows the protocol: the framework's policies; PUT /instance with strict specs,
// for a cold start and as a migration target; which state changes are allowed when (rulings);
// the queue of requests; soft stops and reboots; the state monitor, which returns only the
// latest view; and the rundown, in which changes and snapshots get 424. The serial console can be
// read as long as the VM is known, so that a failure can be explained; Propolis answers 424 then. The Machine does what is asked of it and tells its VM what becomes of it.
//
//	cold start      Creating -> (Run) Starting -> Running
//	stop, poweroff  Stopping -> Stopped -> Destroyed
//	reboot          Rebooting -> Running
//	soft stop       Running, until the guest obeys its power button or its time is over
//	migration in    Migrating, phase by phase -> Running
//	migration out   Migrating, phase by phase -> Stopping -> Destroyed
//	failure         Failed
//
// As in the real server, a call goes on when its client disconnects: a monitor stays pending
// until the VM reaches its generation, and a PUT /instance makes its VM.
//
// Requests are checked against openapi.json; rules that a schema cannot express are here
// (convertible) and in package dropshot. One mutex guards a Server and its Machine. Nothing
// is logged or waited for while it is held.
//
// The package must not use the agent's own Propolis client. Client and server are written
// independently from the same contract, so that one's mistake is not also the other's. For the
// same reason it imports from the module only the server side of the framework.
package server
