//go:build !linux && !illumos

package hostcheck

import "golang.org/x/sys/unix"

func volumeOf(dir string) (volume, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return volume{}, err
	}
	return volume{kind: unix.ByteSliceToString(s.Fstypename[:]), free: s.Bavail * uint64(s.Bsize), files: int64(s.Ffree)}, nil
}
