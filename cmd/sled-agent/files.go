package main

import (
	"golang.org/x/sys/unix"
)

// wantFiles is the wanted limit of open files: the kernel's default maximum
// (fs.nr_open).
const wantFiles = 1 << 20

// raiseFiles raises the limit of open files as far as this process may and returns
// it. The Go runtime itself raises only the soft limit, to the hard one.
func raiseFiles() uint64 {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 1024 // the lowest limit of any supported system
	}
	if limit.Max < wantFiles {
		raised := unix.Rlimit{Cur: wantFiles, Max: wantFiles}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			return wantFiles
		}
	}
	if limit.Cur < min(limit.Max, wantFiles) {
		raised := unix.Rlimit{Cur: min(limit.Max, wantFiles), Max: limit.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			return raised.Cur
		}
	}
	return limit.Cur
}

// connections returns how many connections each API accepts, given the limit of open
// files. Enough descriptors remain for VMMs.
func connections(files uint64) (api, admin int) {
	return int(min(max(files/4, 8), 1024)), int(min(max(files/16, 4), 64))
}
