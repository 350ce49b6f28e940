package hostcheck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// littleSpace is less than the ledger, bundles and logs may need together; with less than
	// noSpace the ledger cannot grow.
	littleSpace = 1 << 30
	noSpace     = 4 << 20
)

// A volume is the file system of a directory.
type volume struct {
	kind string
	free uint64 // in bytes
	// files are the files that can be made; negative if the file system has no limit.
	files int64
}

// volatile are file systems that a reboot or a crash of the host empties.
var volatile = map[string]bool{"tmpfs": true, "ramfs": true, "swap": true}

// StateDir checks the state directory. private refuses one that others can change.
func StateDir(dir string, private func(string) error) Check {
	return Check{"state directory", func(context.Context) []Result {
		there, err := nearest(dir)
		if err != nil {
			return wrong("make a parent directory that this user can read", "%v", err)
		}
		if there == dir {
			if err := private(dir); err != nil {
				return wrong("chown and chmod it, or set another state_dir", "%v", err)
			}
		}
		if err := unix.Access(there, unix.W_OK|unix.X_OK); err != nil {
			return wrong("run this as the agent's user, or set another state_dir", "%s cannot be written to: %v", there, err)
		}
		results := space(there)
		if there != dir && results[0].Level == OK {
			results[0].Detail = "will be made in " + results[0].Detail
		}
		return results
	}}
}

// Space checks that there is room in a directory, which may be absent.
func Space(name, dir string) Check {
	return Check{name, func(context.Context) []Result {
		there, err := nearest(dir)
		if err != nil {
			return wrong("make the directory", "%v", err)
		}
		return space(there)
	}}
}

func space(dir string) []Result {
	v, err := volumeOf(dir)
	if err != nil {
		return warning("", "cannot tell the file system of %s: %v", dir, err)
	}
	return v.judge(dir)
}

// judge decides whether a file system is fit for the state directory.
func (v volume) judge(dir string) []Result {
	const more = "free some, or use a larger file system"
	text := fmt.Sprintf("%s: %s, %d MiB free", dir, v.kind, v.free>>20)
	switch {
	case v.free < noSpace:
		return wrong(more, "%s, less than %d MiB", text, noSpace>>20)
	case v.files >= 0 && v.files < 1000:
		return wrong("remove files, or use a file system with more inodes", "%s, but only %d files can be made", text, v.files)
	case volatile[v.kind]:
		return warning("set state_dir to a file system on a disk",
			"%s; it keeps nothing over a reboot of the host: Nexus would not be told of VMMs that it ends", text)
	case v.free < littleSpace:
		return warning(more, "%s, less than %d MiB", text, littleSpace>>20)
	}
	return ok("%s", text)
}

// nearest returns the directory, or the nearest one above it that exists.
func nearest(dir string) (string, error) {
	for {
		info, err := os.Stat(dir)
		switch {
		case err == nil && !info.IsDir():
			return "", fmt.Errorf("%s is not a directory", dir)
		case err == nil:
			return dir, nil
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return "", err
		}
		dir = filepath.Dir(dir)
	}
}
