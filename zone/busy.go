package zone

import (
	"errors"
	"slices"
	"syscall"
)

// ErrBusy: the host is temporarily short of a resource such as memory, processes
// or descriptors. A later attempt may succeed.
var ErrBusy = errors.New("host is short of resources")

var shortages = []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS}

// IsShortage reports whether an error means that the host is temporarily short of
// processes, memory, descriptors or buffers.
func IsShortage(err error) bool {
	return slices.ContainsFunc(shortages, func(s error) bool { return errors.Is(err, s) })
}
