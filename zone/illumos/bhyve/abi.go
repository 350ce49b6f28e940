package bhyve

import (
	"errors"
	"fmt"
	"strings"
)

// The vmm driver's interface as illumos-gate's usr/src/uts/intel/sys/vmm_dev.h
// has it in version 18 of 2024. It is private to illumos and may change between
// versions; the requests used here and their layouts are those that Propolis's
// crate bhyve-api uses for all versions it knows (5 and later). illumos encodes
// neither size nor direction in a request, so a request is a plain number.
const (
	// interfaceVersion is the version that was read.
	interfaceVersion = 18

	ctlGroup = 'V'<<16 | 'M'<<8 // requests on the control device
	vmGroup  = 'v'<<16 | 'm'<<8 // requests on a VM's device

	// vmmDestroyVM takes a destroyReq. It waits, interruptibly, until nobody
	// holds the VM any more.
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

// maxName is the longest name of a VM in bytes. The driver's buffer, nameSize,
// has room for a terminating zero.
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

// ErrName: no VM can have this name.
var ErrName = errors.New("not a VM's name")

// ValidName tells whether a VM may have this name: 1 to 127 bytes without '/'
// and zero bytes. "." and ".." are refused, too, since a VM's name is also that
// of its device.
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
