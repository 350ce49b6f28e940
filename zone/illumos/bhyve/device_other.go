//go:build !illumos

package bhyve

import "unsafe"

// call fails: only illumos has the vmm driver.
func call(device, int, unsafe.Pointer) (int, error) { return 0, ErrUnsupported }

// PhysicalMemory fails with ErrUnsupported.
func PhysicalMemory() (uint64, error) { return 0, ErrUnsupported }
