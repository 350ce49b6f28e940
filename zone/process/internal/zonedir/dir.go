package zonedir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/internal/rmtree"
)

// Open opens the directory of one zone below dir. The error is fs.ErrNotExist if there
// is none, and a *NotDirError if the name is not a directory. It follows no symbolic
// link.
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

// A NotDirError is the error for a zone's name that is not a directory.
type NotDirError struct {
	Name string
	Type fs.FileMode
}

func (e *NotDirError) Error() string {
	return fmt.Sprintf("open zone %s: it is not a directory (%v)", e.Name, e.Type)
}

// State returns the state that the zone's files show: Configured, Incomplete with the
// reason, or Installed. It does not check whether the zone runs. An error means that
// the state is unknown.
func State(root *os.Root) (s zone.State, why string, err error) {
	st, err := root.Lstat(RootDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return rootless(root)
	case err != nil:
		return zone.Unknown, "", fmt.Errorf("look at zone's root: %w", err)
	case !st.IsDir():
		return zone.Incomplete, "its root is not a directory", nil
	}
	_, err = Read(root, ConfigFile, ParseConfig)
	if errors.Is(err, ErrRecord) || errors.Is(err, fs.ErrNotExist) {
		return zone.Incomplete, err.Error(), nil
	}
	if err != nil {
		return zone.Unknown, "", err
	}
	return zone.Installed, "", nil
}

// rootless distinguishes a zone that has only its configuration, or nothing, from one
// that is half made or half removed. It reads at most two names.
func rootless(root *os.Root) (s zone.State, why string, err error) {
	d, err := root.Open(".")
	if err != nil {
		return zone.Unknown, "", fmt.Errorf("list zone: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return zone.Unknown, "", fmt.Errorf("list zone: %w", err)
	}
	if len(names) == 0 || len(names) == 1 && names[0] == ConfigFile {
		return zone.Configured, "", nil
	}
	return zone.Incomplete, "it has no root directory", nil
}

// Strip removes everything but the configuration. It first renames the root, so that
// the zone is no longer Installed. It continues after an entry that cannot be removed
// and returns the first error. It ends with ctx and crosses no mount point.
func Strip(ctx context.Context, root *os.Root) error {
	if err := retireRoot(root); err != nil {
		return fmt.Errorf("remove zone's files: %w", err)
	}
	return contents(ctx, root, func(name string) bool { return name == ConfigFile })
}

// maxRetired bounds how many renamed roots of earlier removals may exist.
const maxRetired = 16

func retireRoot(root *os.Root) error {
	name := retiredRoot
	for i := 1; ; i++ {
		err := root.Rename(RootDir, name)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if i == maxRetired {
			return err
		}
		name = fmt.Sprintf("%s.%d", retiredRoot, i)
	}
}

func contents(ctx context.Context, root *os.Root, keep func(string) bool) error {
	d, err := root.Open(".")
	if err != nil {
		return fmt.Errorf("remove zone's files: %w", err)
	}
	defer d.Close()
	if err := rmtree.Contents(ctx, d, keep); err != nil {
		return fmt.Errorf("remove zone's files: %w", err)
	}
	return nil
}

// Remove removes the zone's directory, or whatever else has its name below dir. It
// succeeds if there is nothing.
func Remove(ctx context.Context, dir, name string) error {
	root, err := Open(dir, name)
	var notDir *NotDirError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.As(err, &notDir):
	case err != nil:
		return err
	default:
		err := contents(ctx, root, nil)
		root.Close()
		if err != nil {
			return err
		}
	}
	err = os.Remove(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove zone: %w", err)
	}
	return nil
}
