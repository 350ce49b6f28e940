//go:build !illumos

package bhyve

import "unsafe"

// call returns ErrUnsupported.
func call(device, int, unsafe.Pointer) (int, error) { return 0, ErrUnsupported }

// PhysicalMemory returns ErrUnsupported.
func PhysicalMemory() (uint64, error) { return 0, ErrUnsupported }
