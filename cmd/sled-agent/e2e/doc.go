// Package e2e tests the sled-agent program as those outside see it: the real
// binary, real Propolis simulators as processes in its zones, real signals, and
// a simulated Nexus that notices every contradiction.
//
// A test makes VMMs with servers and addresses of their own on a sled and breaks
// something. The sled, an agent with its state directory and its Nexus, is its own
// (newSled) if the test configures, ends or burdens the agent or breaks Nexus; the
// others share one (sharedSled). When the last test of a sled ends, the agent must
// have left nothing: no process, no zone, no control group, no file; it must exit
// with 0 within the time it promised; and Nexus must have heard nothing untrue.
// Whenever a terminal state arrives at Nexus, the VMM's zone is looked for at that
// moment and must be gone.
//
// What an agent makes its zones of is its ground: processes, or with
// E2E_BACKEND=illumos the zones of a host that behaves as illumos does (see
// zone/illumos/illumostest). Tests run on both, but for those that are about one
// ground's own: illumos_*_test.go on the second alone, as part of make test-slow, and
// one that needs a server of its own on the first.
//
// The letters in comments (D, Z, T, ...) name the agent's promises.
//
// What lives here: tests, and what they need to look at an agent from outside.
// What must not: imports of the agent's insides. The packages used of the module
// are the wire's types, the admin client and the simulators.
package e2e
