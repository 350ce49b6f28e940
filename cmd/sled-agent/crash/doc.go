// Package crash tests what becomes of VMs when the sled-agent program dies
// (promise R, and with it D, T, N, L and Z over restarts): at every step of a
// VMM's life, at random moments for a long time, at an upgrade, at a reboot of
// the host, and while somebody changes zones behind its back.
//
// The agent is built with the tag failpoint, so that it can be told to kill
// itself at a step (see internal/failpoint). A sled starts it again at once, like
// a service manager. Nexus lives through all of it and notices contradictions,
// and each VMM has a witness that asks for its state and looks at its server's
// process the whole time.
//
// What lives here: tests and benchmarks of restarts. What must not: imports of
// the agent's insides, and tests of an agent that lives on, which are e2e's.
package crash
