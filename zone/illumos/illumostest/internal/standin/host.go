package standin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// A Host is a stand-in host in a directory. Its methods are safe for concurrent use.
//
//	DIR/bin      the program, under its own name and that of each command
//	DIR/state    the host's state, see Store
//	DIR/zones    the dataset for zonepaths
//	DIR/images   images for zoneadm install
type Host struct {
	*Store
	dir string
}

// Make creates a host in dir, which must be empty. place must write the program to
// the given path.
func Make(dir string, o Options, place func(path string) error) (*Host, error) {
	h, err := at(dir)
	if err == nil {
		err = h.make(o, place)
	}
	if err != nil {
		return nil, fmt.Errorf("create host in %s: %w", dir, err)
	}
	return h, nil
}

// OpenHost returns the host that Make created in dir.
func OpenHost(dir string) (*Host, error) {
	h, err := at(dir)
	if err == nil {
		if _, err = os.Stat(h.stateFile()); errors.Is(err, fs.ErrNotExist) {
			err = errors.New("it contains no host")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open host in %s: %w", dir, err)
	}
	return h, nil
}

// at resolves dir to its real path, by which running processes are found.
func at(dir string) (*Host, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	return &Host{openStore(filepath.Join(dir, "state")), dir}, err
}

func (h *Host) make(o Options, place func(path string) error) error {
	entries, err := os.ReadDir(h.dir)
	if err == nil && len(entries) > 0 {
		err = errors.New("it is not empty")
	}
	if err != nil {
		return err
	}
	return try(func() {
		for _, path := range []string{"bin", "state", "zones", "images"} {
			check(os.Mkdir(filepath.Join(h.dir, path), 0o755))
		}
		h.create(o, h.ZoneRoot())
		for _, image := range h.Images() {
			check(os.WriteFile(image, []byte("image"), 0o600))
		}
		check(place(h.Program()))
		for _, name := range Names() {
			// Hard links, since a program finds its directory by os.Executable.
			check(os.Link(h.Program(), filepath.Join(h.BinDir(), name)))
		}
		replace(h.stateFile(), []byte(h.Dir))
	})
}

// stateFile is written last, when the host is complete.
func (h *Host) stateFile() string { return filepath.Join(h.BinDir(), stateFile) }

// BinDir returns the directory of the commands: a backend's command path.
func (h *Host) BinDir() string { return filepath.Join(h.dir, "bin") }

// Program returns the path of the program under its own name, for its fault command.
func (h *Host) Program() string { return filepath.Join(h.BinDir(), program) }

// ZoneRoot returns the mount point of the dataset rpool/zones, for zonepaths.
func (h *Host) ZoneRoot() string { return filepath.Join(h.dir, "zones") }

// Images returns two files for zoneadm install.
func (h *Host) Images() []string {
	return []string{filepath.Join(h.dir, "images", "propolis-server.tar.gz"), filepath.Join(h.dir, "images", "overlay.tar.gz")}
}

// Close kills every process that the host started and every command that still runs.
// It returns when none is left, or with an error that names them when ctx ends. It
// keeps the directory. The host cannot be used afterwards, but closed again.
func (h *Host) Close(ctx context.Context) error {
	err := try(func() {
		check(os.WriteFile(h.path("closing"), nil, 0o600))
		h.Locked(func() {}) // after this no process is started
	})
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for err == nil {
		var left []int
		err = try(func() { left = append(h.Processes(""), running(h.BinDir())...) })
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			err = fmt.Errorf("processes %v still run: %w", left, context.Cause(ctx))
		}
	}
	if err != nil {
		return fmt.Errorf("close host in %s: %w", h.dir, err)
	}
	return nil
}
