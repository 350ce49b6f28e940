package hostdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sledagent/sledagent/zone/illumos/illumostest/internal/standin"
)

// A Host is one in a directory. Its methods may be used by several goroutines at
// once.
type Host struct {
	// Store is its state.
	Store *standin.Store
	dir   string
}

// Make makes a host in dir, which must be empty. place is to put the program at
// the path that it is given.
func Make(dir string, o standin.Options, place func(path string) error) (h *Host, err error) {
	if h, err = at(dir); err == nil {
		err = h.make(o, place)
	}
	if err != nil {
		return nil, fmt.Errorf("make a host in %s: %w", dir, err)
	}
	return h, nil
}

// errNone is why a directory cannot be opened that holds no host.
var errNone = errors.New("it holds no host")

// Open returns the host that was made in dir.
func Open(dir string) (*Host, error) {
	h, err := at(dir)
	if err == nil {
		if _, err = os.Stat(h.stateFile()); errors.Is(err, fs.ErrNotExist) {
			err = errNone
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the host in %s: %w", dir, err)
	}
	return h, nil
}

// at needs the real path: a process is known by that of its program.
func at(dir string) (*Host, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, err
	}
	return &Host{dir: dir, Store: standin.Open(filepath.Join(dir, "state"))}, nil
}

func (h *Host) make(o standin.Options, place func(path string) error) error {
	if entries, err := os.ReadDir(h.dir); err != nil || len(entries) > 0 {
		return errors.Join(err, errNotEmpty)
	}
	for path, mode := range map[string]os.FileMode{"bin": 0o755, "state": 0o700, "zones": 0o755, "images": 0o755} {
		if err := os.Mkdir(filepath.Join(h.dir, path), mode); err != nil {
			return err
		}
	}
	if err := standin.Try(func() { standin.Create(h.Store.Dir, o, h.ZoneRoot()) }); err != nil {
		return err
	}
	for _, image := range h.Images() {
		if err := os.WriteFile(image, []byte("image"), 0o600); err != nil {
			return err
		}
	}
	if err := h.placePrograms(place); err != nil {
		return err
	}
	half := h.stateFile() + ".new"
	if err := os.WriteFile(half, []byte(h.Store.Dir), 0o600); err != nil {
		return err
	}
	return os.Rename(half, h.stateFile())
}

var errNotEmpty = errors.New("it is not empty")

func (h *Host) placePrograms(place func(path string) error) error {
	if err := place(h.Program()); err != nil {
		return err
	}
	for _, name := range standin.Names() {
		// Hard links: a program finds its directory by the name it was run by.
		if err := os.Link(h.Program(), filepath.Join(h.BinDir(), name)); err != nil {
			return err
		}
	}
	return nil
}

// stateFile is written last: with it, the host is whole.
func (h *Host) stateFile() string { return filepath.Join(h.BinDir(), standin.StateFile) }

// BinDir is the directory of the commands: a backend's command path.
func (h *Host) BinDir() string { return filepath.Join(h.dir, "bin") }

// Program is the program by its own name.
func (h *Host) Program() string { return filepath.Join(h.BinDir(), standin.Program) }

// ZoneRoot is a mounted dataset, rpool/zones, for zonepaths.
func (h *Host) ZoneRoot() string { return filepath.Join(h.dir, "zones") }

// Images are two files that zoneadm install takes.
func (h *Host) Images() []string {
	return []string{filepath.Join(h.dir, "images", "propolis-server.tar.gz"), filepath.Join(h.dir, "images", "overlay.tar.gz")}
}
