package bhyve

import (
	"errors"
	"fmt"
	"strings"
)

// The vmm driver's interface, from illumos-gate's usr/src/uts/intel/sys/vmm_dev.h
// in version 18 of 2024. It is private to illumos and may change between versions.
// Propolis's crate bhyve-api uses the same requests and layouts for all versions
// that it supports (5 and later). illumos encodes neither size nor direction in a
// request, so a request is a plain number.
const (
	// interfaceVersion is the version of the header that was read.
	interfaceVersion = 18

	ctlGroup = 'V'<<16 | 'M'<<8 // requests on the control device
	vmGroup  = 'v'<<16 | 'm'<<8 // requests on a VM's device

	// vmmDestroyVM takes a destroyReq. It waits, interruptibly, until no process
	// holds the VM.
	vmmDestroyVM = ctlGroup | 0x02
	// vmmInterfaceVersion returns the version as the ioctl's own result.
	vmmInterfaceVersion = ctlGroup | 0x04
	// vmmReservoirQuery fills a reservoirQuery.
	vmmReservoirQuery = ctlGroup | 0x10
	// vmmReservoirTarget takes and fills a reservoirTarget. Growing waits for
	// free pages; a signal ends it with EINTR and a valid result.
	vmmReservoirTarget = ctlGroup | 0x11

	// vmDestroySelf takes nothing. It marks the VM and does not wait.
	vmDestroySelf = vmGroup | 0x25
)

// maxName is the length limit of a VM's name in bytes. The driver's buffer has
// nameSize bytes, including a terminating zero.
const (
	nameSize = 128
	maxName  = nameSize - 1
)

// A destroyReq is struct vm_destroy_req.
type destroyReq struct {
	name [nameSize]byte
}

// A reservoirQuery is struct vmm_resv_query. All are bytes.
type reservoirQuery struct {
	free, allocated, transient, limit uint64
}

// A reservoirTarget is struct vmm_resv_target. All are bytes: the size to reach,
// the steps to go in, and the size that was reached.
type reservoirTarget struct {
	target, chunk, result uint64
}

// ErrName is the error for a name that no VM can have.
var ErrName = errors.New("invalid VM name")

// ValidName returns an error for which errors.Is(err, ErrName) holds unless a VM may
// have this name: 1 to 127 bytes without '/' and zero bytes, and neither "." nor
// "..", since the name is also the name of the VM's device.
func ValidName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%w: %q", ErrName, name)
	case len(name) > maxName:
		return fmt.Errorf("%w: %q has %d bytes, at most %d are allowed", ErrName, name, len(name), maxName)
	case strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%w: %q has a '/' or a zero byte", ErrName, name)
	}
	return nil
}

// encodeDestroy returns the request to destroy a VM.
func encodeDestroy(name string) (*destroyReq, error) {
	if err := ValidName(name); err != nil {
		return nil, err
	}
	req := new(destroyReq)
	copy(req.name[:], name)
	return req, nil
}
