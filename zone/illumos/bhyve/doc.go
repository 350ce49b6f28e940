// Package bhyve queries and frees the kernel state of virtual machines on illumos:
// the VMs of the vmm driver, and the reservoir that their memory comes from. It
// calls the driver directly, without cgo.
//
// A VM belongs to the zone that created it and is freed with that zone, so
// DestroyVM is needed only for a VM that outlived its zone. The memory of such a VM
// would stay in use until the next boot.
//
// # Helper processes
//
// An ioctl on the driver can wait in the kernel as long as a process holds a VM. No
// context ends it, and an agent with a thread in it cannot exit. Reading the
// driver's directory of VMs waits uninterruptibly as well, while a large VM's memory
// is freed. So every ioctl and every list runs in a helper process: this program is
// started again (see Main), makes the one call, prints the result and exits:
//
//	sled-agent --- fork, exec ---> sled-bhyve-helper OPERATION DEVICE ARGUMENT
//	           <-- {"values":[1,2,3]} ----
//
// A helper that exceeds its budget is killed. One that survives this is left behind
// (see internal/command), and no second one is started for the same VM or purpose.
// It still counts towards maxHelpers; a call that finds no free place waits and
// fails when its budget ends.
//
// The numbers and layouts of the driver's interface are in abi.go only. Only the
// system calls are compiled for illumos alone; on other systems a helper returns
// ErrUnsupported.
//
// The package must not contain: zones, their names and states, retries beyond one
// call, and the decision what to destroy.
package bhyve
