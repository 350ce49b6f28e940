package zonedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/sledagent/sledagent/zone"
)

// Open opens the directory of one zone below dir. The error is fs.ErrNotExist
// if there is none, and a *NotDirError if something else has its name; no
// symbolic link is followed.
func Open(dir, name string) (*os.Root, error) {
	all, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open zones: %w", err)
	}
	defer all.Close()
	st, err := all.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("open zone: %w", err)
	}
	if !st.IsDir() {
		return nil, &NotDirError{Name: name, Type: st.Mode().Type()}
	}
	root, err := all.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open zone: %w", err)
	}
	return root, nil
}

// A NotDirError tells that something that is no directory has a zone's name.
type NotDirError struct {
	Name string
	Type fs.FileMode
}

func (e *NotDirError) Error() string {
	return fmt.Sprintf("open zone %s: it is no directory (%v)", e.Name, e.Type)
}

// State says what the files make the zone: Configured, Incomplete with why, or
// Installed. Whether it runs is not asked here.
func State(root *os.Root) (s zone.State, why string, err error) {
	names, err := list(root)
	if err != nil {
		return zone.Unknown, "", err
	}
	has := make(map[string]bool, len(names))
	for _, n := range names {
		has[n] = true
	}
	if len(names) == 0 || len(names) == 1 && has[ConfigFile] {
		return zone.Configured, "", nil
	}
	if !has[RootDir] {
		return zone.Incomplete, "it has no root directory", nil
	}
	if st, err := root.Lstat(RootDir); err != nil || !st.IsDir() {
		return zone.Incomplete, "its root is no directory", nil
	}
	if _, err := Read(root, ConfigFile, ParseConfig); err != nil {
		return zone.Incomplete, err.Error(), nil
	}
	return zone.Installed, "", nil
}

// Strip removes everything but the configuration. It begins by taking the root
// its name, so that the zone is not Installed from then on. It goes on after
// an entry that cannot be removed and returns the first error; between two
// entries it asks goOn.
func Strip(root *os.Root, goOn func() error) error {
	if err := root.Rename(RootDir, doomed); err != nil && !errors.Is(err, fs.ErrNotExist) {
		// A doomed root of an earlier try is in the way, or the root is odd:
		// removing it under its own name does as well, only less atomically.
		if err := removeAll(root, RootDir); err != nil {
			return err
		}
	}
	names, err := list(root)
	if err != nil {
		return err
	}
	var first error
	for _, n := range names {
		if n == ConfigFile {
			continue
		}
		if err := goOn(); err != nil {
			return err
		}
		if err := removeAll(root, n); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Remove removes whatever has the zone's name below dir; nothing is success.
func Remove(dir, name string) error {
	all, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove zone: %w", err)
	}
	defer all.Close()
	return removeAll(all, name)
}

func list(root *os.Root) ([]string, error) {
	d, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("list zone: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list zone: %w", err)
	}
	return names, nil
}

// removeAll removes one entry with all below it. What the server made
// unreadable for its own user is made readable first.
func removeAll(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if errors.Is(err, fs.ErrPermission) {
		makeRemovable(root, name)
		err = root.RemoveAll(name)
	}
	if err != nil {
		return fmt.Errorf("remove zone's files: %w", err)
	}
	return nil
}

// makeRemovable makes every directory from name on searchable and writable. What it
// cannot, RemoveAll will name.
func makeRemovable(root *os.Root, name string) {
	st, err := root.Lstat(name)
	if err != nil || !st.IsDir() {
		return
	}
	_ = root.Chmod(name, 0o700)
	entries, err := fs.ReadDir(root.FS(), name)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			makeRemovable(root, path.Join(name, e.Name()))
		}
	}
}
