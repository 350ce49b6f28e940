// Package qemu is a Propolis machine of QEMU on Linux: a server.Machine whose guest is real. Each
// VM is one process, qemu-system-x86_64, which is told what to do by QMP, QEMU's machine protocol.
//
//	instance spec -> newPlan -> command line -> child -> qmpClient -> machine -> server.VM
//
// newPlan is a pure function. It refuses what QEMU cannot make and names the component. QEMU gets
// the spec's values as JSON and never through a shell. It has no monitor for people, no
// configuration file and no socket with a name: QMP and the console are sockets that it inherits. So
// are its files, which the server opens: if that is root, QEMU has another user.
//
// QEMU is killed by the kernel when the server ends, however that happens. A VM that is stopped
// gets QMP's quit and is killed if it does not end, so a QEMU that was stopped by a signal ends as
// well. QEMU is told to keep a guest that has ended, so that it is known why: powered off, reset
// or panicked.
//
// The serial port com1 has a history of bounded length, of which a file has a copy that outlives
// the server. Its lines are also logged, and a failure is logged with the end of it.
//
// A guest migrates by QEMU's own migration, whose stream the two servers pass on in a WebSocket:
//
//	departure: QEMU -> stream -> link ---> link -> stream -> QEMU: arrival
//
// The words of the link decide where the guest may run. The target starts it only after the word
// yours. The source sends that once its own guest has ended, and from then on continues it only if
// the target has refused it. A source that does not know fails, and leaves it to the target to say
// whether the migration has.
//
// The package compiles everywhere and starts QEMU on Linux only. What decides when requests are
// taken, and all of HTTP, is in package server.
package qemu
