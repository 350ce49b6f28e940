// Package e2e tests the sled-agent program as those outside see it: the real
// binary, real Propolis simulators as processes in its zones, real signals, and
// a simulated Nexus that notices every contradiction.
//
// A test gets an agent of its own (newSled), with a state directory, a Nexus and
// addresses of its own, makes VMMs there and breaks something. When it ends, the
// agent must have left nothing: no process, no zone, no control group, no file;
// it must exit with 0 within the time it promised; and Nexus must have heard
// nothing untrue. Whenever a terminal state arrives at Nexus, the VMM's zone is
// looked for at that moment and must be gone.
//
// The letters in comments (D, Z, T, ...) name the agent's promises.
//
// What lives here: tests, and what they need to look at an agent from outside.
// What must not: imports of the agent's insides. The packages used of the module
// are the wire's types, the admin client and the simulators.
package e2e
