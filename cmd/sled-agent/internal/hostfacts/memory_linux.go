package hostfacts

import "golang.org/x/sys/unix"

// Memory returns the size of the host's memory in bytes.
func Memory() (uint64, error) {
	var info unix.Sysinfo_t
	err := unix.Sysinfo(&info)
	return uint64(info.Totalram) * uint64(info.Unit), err
}
