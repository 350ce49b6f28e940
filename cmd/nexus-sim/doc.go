// Command nexus-sim is a simulated Nexus for people and scripts: it receives
// VMM records as the real one does, shows them, tells when a sled contradicts
// itself, and misbehaves on request.
//
// What lives here: flags, signals and what is printed. What Nexus does, and the
// control routes, live in package nexussim.
package main
