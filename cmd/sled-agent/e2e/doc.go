// Package e2e tests the sled-agent program from outside: the real binary, Propolis simulators as
// processes in its zones, real signals, and a simulated Nexus that records every contradiction.
//
// A test makes VMMs with servers and addresses of their own and injects a failure. The harness
// (newHarness) provides an agent with a state directory and a Nexus. Tests that do not configure,
// end or overload the agent, or break Nexus, share one (sharedHarness). When the last test of an
// agent ends, the agent must exit with 0 and leave no process, zone, control group or file, and
// Nexus must have received no false record. Whenever a terminal state arrives at Nexus, the
// VMM's zone must be gone at that moment.
//
// Tests with setup.restarts end the agent and restart it: at every step of a VMM's lifecycle, at
// random times, at an upgrade, at a reboot of the host. Their agent is built with the tag failpoint
// (see internal/failpoint). Requests are repeated until an agent answers, and each VMM's state and
// server are watched all the time.
//
// The tests in survival_*_test.go are about the process: the log's reader exits, signals arrive,
// sockets are removed, the disk is full. They use Linux's interfaces and are built only there.
//
// The agent's zones are processes, or with E2E_BACKEND=illumos the zones of a host that behaves
// like illumos (see zone/illumos/illumostest). Tests run on both backends, with two exceptions:
// illumos_*_test.go only on illumos, as part of make test-slow, and those that restart the agent
// or change its process only on processes.
//
// With E2E_GUEST=DIR (make test-guests), TestRealGuest* run real guests in QEMU: propolis-qemu is the server in
// the zones, and DIR has a guest that make guest has made.
//
// Only order and outcome are asserted, never durations: package agent tests those in bubbles, and
// package bench measures them.
//
// The letters in comments (D, Z, T, ...) are the agent's promises in the README.
//
// The package must not import the agent's internals. From the module it uses the wire types, the
// admin client, the simulators and, to change zones from outside the agent, the process backend.
package e2e
