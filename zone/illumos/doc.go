// Package illumos keeps zones as what they are named after: zones of an illumos
// host, made, looked at and removed by running the host's commands.
//
//	Create   zonecfg, dladm create-vnic, zoneadm install, the SMF profile
//	Boot     zoneadm boot, svcprop until the server's service is online
//	Kill     pkill -z           Halt     zoneadm halt
//	Uninstall  zoneadm uninstall, zfs destroy      Delete  dladm delete-vnic, zonecfg delete
//	List, Look, Watch   zoneadm list -cip, shared by all who look at a time
//
// # The truth
//
// An exit code is a hint. zoneadm(8) exits with 0 from a boot of a zone that is
// shutting down, and with 1 from an uninstall of what is uninstalled already;
// so every change is followed by a look, and the state that is listed decides.
// No text that a command prints decides anything but how an error reads, with
// one exception, where the host has no better answer: whether a datalink, or a
// configuration that is read, exists.
//
// # Order
//
// Whatever dies whenever, the host's own records say what is to be removed: the
// configuration names the datalinks before they are made, and is deleted after
// them. The rest is found by the zone's name.
//
// Create, Boot, Halt, Uninstall, Delete and Release of one zone take turns;
// zones do not wait for each other. Each removal method, and Kill, makes known
// that it has begun before it does anything else, and breaks off a Create or
// Boot that was called earlier. Kill takes no turn.
//
// # Time
//
// Every command has a budget, and is killed with its process group when that is
// spent. Only boot and halt are not: they go on in zoneadmd whatever becomes of
// the client (illumos zoneadmd.c: the door call cannot be cancelled), which is
// left to end by itself. See internal/command for what cannot be killed.
//
// What the host does otherwise than one would think is in traps.md, each with
// the test that fails when this package does not mind it.
//
// Everything here compiles on every system, and works where Config.CommandPath
// holds programs of the commands' names. What must not live here: VMMs,
// Propolis's API, retries of removals and their order, ioctls and kstats.
package illumos
