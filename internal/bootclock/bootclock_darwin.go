package bootclock

import (
	"time"
	_ "unsafe" // for linkname

	"golang.org/x/sys/unix"
)

// nanotime is the runtime's monotonic clock. On macOS it is mach_absolute_time,
// which counts from boot.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

func sinceBoot() time.Duration { return time.Duration(nanotime()) }

func bootID() (string, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", err
	}
	return parseKernel(id)
}
