package rmtree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// openBelow opens a directory unless something is mounted on it.
func openBelow(parent int, name string) (int, error) {
	how := unix.OpenHow{Flags: openFlags, Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS}
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Openat2(parent, name, &how)
		return err
	})
	// Linux before 5.6, and sandboxes that do not allow the call.
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		return openSame(parent, name)
	}
	return fd, err
}

// MountIn returns a mount point at or below a directory; empty if there is none.
func MountIn(dir string) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find mount points: %w", err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("find mount points: %w", err)
	}
	return mountIn(table, dir), nil
}

var octal = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func mountIn(table []byte, dir string) string {
	for line := range bytes.Lines(table) {
		fields := strings.Fields(string(line))
		if len(fields) < 5 {
			continue
		}
		point := octal.Replace(fields[4])
		if point == dir || strings.HasPrefix(point, dir+"/") {
			return point
		}
	}
	return ""
}
