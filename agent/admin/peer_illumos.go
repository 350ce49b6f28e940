package admin

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// peerOf uses getpeerucred(3C). What x/sys has of it does not include the supplementary groups.
func peerOf(c syscall.Conn) (p peer, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return p, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetPeerUcred(fd); err == nil {
			p = peer{uid: cred.Geteuid(), groups: []int{cred.Getegid()}, partial: true}
		}
	})
	if err == nil {
		err = controlErr
	}
	return p, err
}
