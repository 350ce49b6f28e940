// Package bhyve looks at and frees the kernel's side of virtual machines on
// illumos: the VMs that the vmm driver knows, and the reservoir that their
// memory comes from. It speaks to the driver directly, without cgo.
//
// A VM belongs to the zone that created it and goes with that zone, so a host
// on which every halt works never needs DestroyVM. It is there for a VM that
// outlived its zone, whose memory would otherwise stay taken until the next
// boot.
//
// # Helper processes
//
// An ioctl on the driver can wait in the kernel for as long as somebody holds
// a VM, and no context ends it: it would keep a thread of the agent, and an
// agent with such a thread cannot even exit. So every ioctl is made by a
// process of its own, this program run once more (see Main), that does the one
// call, prints the result and ends:
//
//	sled-agent --- fork, exec ---> sled-bhyve-helper OPERATION DEVICE ARGUMENT
//	           <-- "ok 1 2 3" ----
//
// A helper that outlives its budget is killed. One that survives this is
// abandoned: counted (Abandoned), not waited for, and no second one is started
// for the same VM or purpose. Abandoned ones count among the maxHelpers that
// there may be at a time; a call that finds no place fails when its own budget
// ends.
//
// The numbers and layouts of the driver's interface are in abi.go and nowhere
// else. Only the system calls themselves are compiled for illumos alone; on
// other systems a helper answers that it cannot do its work.
//
// What must not live here: zones, their names and their states, retries beyond
// what one call means, and the choice of what is to be destroyed.
package bhyve
