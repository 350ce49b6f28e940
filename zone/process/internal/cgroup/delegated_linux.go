package cgroup

import "golang.org/x/sys/unix"

// delegated reports whether a service manager has marked the group as delegated to
// the service (systemd's CGROUP_DELEGATION).
func delegated(dir string) bool {
	mark := make([]byte, 8)
	for _, name := range []string{"trusted.delegate", "user.delegate"} {
		if n, err := unix.Getxattr(dir, name, mark); err == nil && string(mark[:n]) == "1" {
			return true
		}
	}
	return false
}
