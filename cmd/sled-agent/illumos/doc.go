// Package illumos tests the sled-agent program on a host that behaves as illumos
// does: the real binary with zones.backend = "illumos", whose zoneadm, zonecfg,
// dladm and so on are those of zone/illumos/illumostest, real Propolis simulators
// in the zones, and a simulated Nexus.
//
// Whenever a terminal state arrives at Nexus, the VMM's zone, processes and
// dataset are looked for at that moment and must be gone. When a test ends, the
// host must be as it was.
//
// The tests are part of make test-slow and skip elsewhere.
//
// The letters in comments (D, Z, T, ...) name the agent's promises.
//
// What lives here: tests of what depends on the zones. What must not: tests of
// what does not, which are in cmd/sled-agent/e2e, and imports of the agent's
// insides.
package illumos
