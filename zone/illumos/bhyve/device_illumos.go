package bhyve

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The driver requires O_EXCL to open its control device (else EINVAL), and a control
// device that is open for writing to destroy a VM (else EPERM).
const (
	ctlFlags = unix.O_RDWR | unix.O_EXCL | unix.O_CLOEXEC
	vmFlags  = unix.O_RDWR | unix.O_CLOEXEC
)

// call opens a device, makes one ioctl and closes it. arg points to the request's
// structure, or is nil.
func call(d device, request int, arg unsafe.Pointer) (int, error) {
	flags := vmFlags
	if d.control {
		flags = ctlFlags
	}
	fd, err := unix.Open(d.path, flags, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", d.path, err)
	}
	defer unix.Close(fd)
	// IoctlSetStrioctlRetInt is the only ioctl of x/sys for illumos that takes a
	// pointer and returns the result. It does not read what the pointer points to,
	// so it works with any structure.
	result, err := unix.IoctlSetStrioctlRetInt(fd, request, (*unix.Strioctl)(arg))
	runtime.KeepAlive(arg)
	if err != nil {
		return 0, fmt.Errorf("ioctl %#x on %s: %w", request, d.path, err)
	}
	return result, nil
}

// PhysicalMemory returns the size of the host's memory in bytes.
func PhysicalMemory() (uint64, error) {
	const (
		scPagesize  = 11  // _SC_PAGESIZE of illumos's sys/unistd.h
		scPhysPages = 500 // _SC_PHYS_PAGES of the same
	)
	size, err := unix.Sysconf(scPagesize)
	if err != nil {
		return 0, fmt.Errorf("read the page size: %w", err)
	}
	pages, err := unix.Sysconf(scPhysPages)
	if err != nil {
		return 0, fmt.Errorf("read the number of pages: %w", err)
	}
	return uint64(size) * uint64(pages), nil
}
