package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// openState makes the state directory if it is absent. It refuses one that users
// other than this one and root can change: its files decide what the agent kills.
func openState(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if err := private(dir); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

func private(dir string) error {
	if err := ours(dir, os.Lstat); err != nil { // the owner of a symbolic link itself
		return err
	}
	if err := ours(dir, os.Stat); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s has mode %04o and others can write to it; remove that with chmod go-w", dir, info.Mode().Perm())
	}
	return sheltered(dir)
}

// ours checks that a file belongs to this user or to root.
func ours(path string, stat func(string) (fs.FileInfo, error)) error {
	info, err := stat(path)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Uid != 0 && int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, and the agent runs as user %d", path, s.Uid, os.Geteuid())
	}
	return nil
}

// sheltered checks that no other user can replace this directory or one above it: any
// that is writable by all must have the sticky bit, as /tmp has.
func sheltered(dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for up := filepath.Dir(real); ; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("any user can replace it, since %s has mode %04o", up, info.Mode().Perm())
		}
		if up == filepath.Dir(up) {
			return nil
		}
	}
}
