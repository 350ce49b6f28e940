package admin

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxGroups is the kernel's own limit on a process's groups.
const maxGroups = 1 << 16

func peerOf(c syscall.Conn) (p peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		more, groupsErr := peerGroups(fd)
		p = peer{uid: int(cred.Uid), groups: append(more, int(cred.Gid)), partial: groupsErr != nil}
	})
	if err == nil {
		err = controlErr
	}
	return p, err
}

// peerGroups returns the groups that the process at the other end had when it connected.
func peerGroups(fd uintptr) ([]int, error) {
	ids := make([]uint32, 64)
	for {
		size := uint32(len(ids) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&ids[0])), uintptr(unsafe.Pointer(&size)), 0)
		if errno == unix.ERANGE && len(ids) < maxGroups {
			ids = make([]uint32, min(maxGroups, max(2*len(ids), int(size/4))))
			continue
		}
		if errno != 0 {
			return nil, errno
		}
		groups := make([]int, size/4)
		for i := range groups {
			groups[i] = int(ids[i])
		}
		return groups, nil
	}
}
