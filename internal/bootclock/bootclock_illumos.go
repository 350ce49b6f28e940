package bootclock

import (
	"fmt"
	"time"
	_ "unsafe" // for linkname

	"golang.org/x/sys/unix"
)

// nanotime is the runtime's monotonic clock. On illumos it is gethrtime(3C),
// which counts from boot.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

func sinceBoot() time.Duration { return time.Duration(nanotime()) }

// volatileDir is a tmpfs that the kernel mounts when it mounts the root file
// system (vfs_mountroot in uts/common/fs/vfs.c), empty at each boot.
const volatileDir = "/etc/svc/volatile"

// bootID is kept in a file, since illumos has no id of a boot: the boot time
// (kstat unix:0:system_misc, utmpx) changes when the wall clock is stepped.
func bootID() (string, error) {
	var st unix.Statvfs_t
	if err := unix.Statvfs(volatileDir, &st); err != nil {
		return "", fmt.Errorf("statvfs %s: %w", volatileDir, err)
	}
	if kind := baseType(st.Basetype[:]); kind != "tmpfs" {
		return "", fmt.Errorf("%s is not a tmpfs but %q: its files may outlive a boot", volatileDir, kind)
	}
	return fileID(volatileDir)
}

func baseType(name []int8) string {
	var text []byte
	for _, c := range name {
		if c == 0 {
			break
		}
		text = append(text, byte(c))
	}
	return string(text)
}
