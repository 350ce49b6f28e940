// Package spawner starts processes from small helper processes, because an exec may
// stall as long as a file system does. Go starts processes by vfork: until the exec is
// over, a thread of the parent waits in the kernel, no garbage collection can begin,
// and in the end the whole parent stalls. The process that keeps deadlines must not.
//
// A helper starts one process at a time. That process becomes a child of this process
// and not of the helper (CLONE_PARENT), so this process can wait for it. A helper is
// given work only while another one is idle, so a stuck helper delays only its own
// start, up to maxHelpers. It is used again once its exec has ended. Helpers start one
// another. This process starts only the first one, and another if all were killed.
//
// Nothing that knows zones belongs here.
package spawner
