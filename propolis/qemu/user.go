package qemu

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// A User is whom QEMU runs as. A nil *User is the server's own.
type User struct {
	UID, GID uint32
	// Groups are further ones.
	Groups []uint32
}

// defaultUser is whom QEMU runs as if the server is root and no other is wanted. defaultUID is that
// user's number on a machine without such an account.
const (
	defaultUser = "nobody"
	defaultUID  = "65534"
)

// kvmDevice is opened by QEMU itself, so its user needs the device's group.
const kvmDevice = "/dev/kvm"

// FindUser returns the user with a name or number, which may be one that no account has; its group
// then has the same number. Without a name that is nobody for a server of root, and its own user for
// another. Only root can give QEMU another user than its own.
func FindUser(name string) (*User, error) {
	own := os.Geteuid()
	if own != 0 && name == "" {
		return nil, nil
	}
	u, err := lookUp(cmp.Or(name, defaultUser))
	if err != nil && name == "" {
		u, err = lookUp(defaultUID)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("find QEMU's user: %w", err)
	case int64(u.UID) == int64(own):
		return nil, nil
	case own != 0:
		return nil, fmt.Errorf("QEMU's user %s has uid %d: only root can start QEMU as another user than its own, %d", name, u.UID, own)
	}
	if st, err := os.Stat(kvmDevice); err == nil && st.Mode()&0o060 == 0o060 {
		if s, ok := st.Sys().(*syscall.Stat_t); ok && s.Gid != 0 {
			u.Groups = append(u.Groups, s.Gid)
		}
	}
	return u, nil
}

func lookUp(name string) (*User, error) {
	account, err := user.Lookup(name)
	if err != nil {
		account, _ = user.LookupId(name)
	}
	if account == nil {
		n, bad := strconv.ParseUint(name, 10, 31)
		if bad != nil {
			return nil, err
		}
		return &User{UID: uint32(n), GID: uint32(n)}, nil
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	return &User{UID: uint32(uid), GID: uint32(gid)}, err
}

// String is for errors and logs.
func (u *User) String() string {
	if u == nil {
		return "its server's own user"
	}
	return fmt.Sprintf("uid %d, gid %d", u.UID, u.GID)
}

// reads reports whether a file's mode lets the user read it. What else might, such as an access
// list, does not count.
func (u *User) reads(st os.FileInfo) bool {
	s, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case u == nil:
		return true
	case ok && s.Uid == u.UID:
		return st.Mode()&0o400 != 0
	case ok && s.Gid == u.GID:
		return st.Mode()&0o040 != 0
	}
	return st.Mode()&0o004 != 0
}

// credential is nil for the server's own user.
func (u *User) credential() *syscall.Credential {
	if u == nil {
		return nil
	}
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}
