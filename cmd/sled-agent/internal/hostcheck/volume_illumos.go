package hostcheck

import "golang.org/x/sys/unix"

func volumeOf(dir string) (volume, error) {
	var s unix.Statvfs_t
	if err := unix.Statvfs(dir, &s); err != nil {
		return volume{}, err
	}
	kind := make([]byte, 0, len(s.Basetype))
	for _, c := range s.Basetype {
		if c == 0 {
			break
		}
		kind = append(kind, byte(c))
	}
	return volume{kind: string(kind), free: uint64(s.Bavail) * uint64(s.Frsize), files: int64(s.Favail)}, nil
}
