// Package illumos manages the zones of an illumos host by running the host's
// commands.
//
//	Create   zonecfg, dladm create-vnic, zoneadm install, the SMF profile
//	Boot     zoneadm boot, svcprop until the server's service is online
//	Remove   pkill -z; zoneadm halt; zoneadm uninstall, zfs destroy;
//	         dladm delete-vnic, zonecfg delete
//	List, Look   zoneadm list -cip, shared by concurrent callers
//
// # Which state counts
//
// An exit code is only a hint. zoneadm(8) exits with 0 from a boot of a zone that
// is shutting down, and with 1 from an uninstall of a zone that is not installed.
// So each change is followed by a listing, and the listed state decides. A zone
// that is not listed has not necessarily ended: see Manager.resolve. Messages of
// commands only make errors readable. The one exception is whether a datalink or
// a configuration exists, for which some commands have no better answer.
//
// # Order
//
// After a crash at any point, the host's own records tell what to remove: the
// configuration names the datalinks before they are created, and is deleted after
// them. Everything else is found by the zone's name.
//
// Changes of one zone run one at a time (zone/internal/zonelock); zones do not
// wait for each other. A removal first cancels a Create or Boot that was called
// earlier. A kill takes no lock.
//
// # Time
//
// Each command has a budget, and is killed with its process group afterwards. The
// clients of boot and halt are not killed: both continue in zoneadmd whatever
// happens to the client (illumos zoneadmd.c: the door call cannot be cancelled).
// See internal/command for processes that cannot be killed.
//
// Surprising behaviour of the host is listed in traps.md, each with the test that
// fails if this package does not handle it.
//
// The package compiles on every system, and works where Config.CommandPath holds
// programs with the commands' names. It must not contain: VMMs, Propolis's API, the
// order and retries of removals, ioctls and kstats.
package illumos
