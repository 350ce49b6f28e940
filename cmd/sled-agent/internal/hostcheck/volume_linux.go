package hostcheck

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// kinds are the names of file systems, by the numbers of statfs(2).
var kinds = map[int64]string{
	unix.TMPFS_MAGIC: "tmpfs", unix.RAMFS_MAGIC: "ramfs", unix.EXT4_SUPER_MAGIC: "ext4", unix.XFS_SUPER_MAGIC: "xfs",
	unix.BTRFS_SUPER_MAGIC: "btrfs", unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.NFS_SUPER_MAGIC: "nfs", 0x2fc12fc1: "zfs",
	unix.F2FS_SUPER_MAGIC: "f2fs", unix.FUSE_SUPER_MAGIC: "fuse",
}

func volumeOf(dir string) (volume, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return volume{}, err
	}
	kind := kinds[int64(s.Type)]
	if kind == "" {
		kind = fmt.Sprintf("file system %#x", s.Type)
	}
	v := volume{kind: kind, free: s.Bavail * uint64(s.Bsize), files: int64(s.Ffree)}
	if s.Files == 0 {
		v.files = -1
	}
	return v, nil
}
