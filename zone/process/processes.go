package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
	"github.com/sledagent/sledagent/zone/process/internal/zoneinit"
)

// processes is what one look found of a zone's processes.
type processes struct {
	name string
	// boot is how the tree was started, as far as that is known.
	boot zonedir.Boot
	// running reports whether boot.Init is alive.
	running bool
	// rest describes what is left of a zone that does not run; empty if nothing is.
	rest string
	// tree is the watched tree whose root is boot.Init, if any.
	tree   *tree
	groups []string
	// grouped reports whether the control groups prove whether processes of the zone
	// are left, so that processes that cannot be looked into do not matter.
	grouped bool
	// tasks are the groups that count the zone's tasks.
	tasks []string
	// own reports whether a path that a process names is the zone's directory.
	own func(path string) (bool, error)
}

// processes looks for a zone's processes. root is the zone's directory; nil if it
// does not exist or cannot be opened. An error means that the result is incomplete.
// The processes that were found can still be killed.
func (m *Manager) processes(name string, root *os.Root) (processes, error) {
	ps := processes{name: name}
	if ps.tree = m.tree(name); ps.tree != nil {
		ps.boot, ps.running = ps.tree.boot, true
		m.findGroups(&ps, root)
		return ps, nil
	}
	usable := true
	var err error
	if root != nil {
		ps.boot, ps.running, err = m.recorded(name, root)
		if errors.Is(err, zonedir.ErrRecord) {
			usable, err = false, nil
		}
	}
	m.findGroups(&ps, root)
	ps.own = func(path string) (bool, error) { return m.refers(path, name, root, ps.boot) }
	if err == nil && !ps.running {
		err = m.search(&ps, usable)
	}
	if err != nil {
		ps.rest = err.Error()
	}
	return ps, err
}

// found is processes for callers that do not use the zone's directory.
func (m *Manager) found(name string) (processes, error) {
	root, err := m.open(name)
	if err != nil {
		return processes{}, err
	}
	if root != nil {
		defer root.Close()
	}
	return m.processes(name, root)
}

// recorded returns the tree that boot.json names and whether it is alive. The record
// is used only if the process itself names this directory, so that a copy of a zone's
// directory is not taken for the zone. Otherwise boot is empty.
func (m *Manager) recorded(name string, root *os.Root) (zonedir.Boot, bool, error) {
	b, err := zonedir.Read(root, zonedir.BootFile, zonedir.ParseBoot)
	if errors.Is(err, fs.ErrNotExist) {
		return zonedir.Boot{}, false, nil
	}
	if err != nil {
		return zonedir.Boot{}, false, err
	}
	args, err := proc.Args(b.Init.PID)
	if errors.Is(err, proc.ErrStarting) && ending(b, root) {
		return b, true, nil
	}
	if err != nil && !errors.Is(err, proc.ErrGone) {
		return zonedir.Boot{}, false, err
	}
	// Since it is alive now, the arguments read before are its own.
	alive, err := proc.Alive(b.Init)
	if err != nil || !alive {
		return b, false, err
	}
	dir, ok := zoneinit.Dir(args)
	if ok {
		ok, err = m.refers(dir, name, root, b)
	}
	if err == nil && !ok && dir != "" {
		err = renamed(root, b.Dir, dir)
	}
	if err != nil {
		if alive, aerr := proc.Alive(b.Init); aerr == nil && !alive {
			return b, false, nil
		}
		return zonedir.Boot{}, false, fmt.Errorf("process %d: %w", b.Init.PID, err)
	}
	if !ok {
		return zonedir.Boot{}, false, nil
	}
	return b, true, nil
}

// ending reports whether the recorded process is about to end, so that its command
// line is gone, and the record is not a copy. If the record was forged, this may be an
// unrelated process, which ends anyway.
func ending(b zonedir.Boot, root *os.Root) bool {
	info, err := proc.Stat(b.Init.PID)
	if err != nil || info.ID != b.Init || !info.Exiting {
		return false
	}
	id, err := zonedir.Identify(root)
	return err == nil && id == b.Dir
}

// renamed returns an error if the process of a record names another directory than
// the one the record is in, but the record was written in this one. The directory then
// has a second or a new name, and its files are in use.
func renamed(root *os.Root, recorded zonedir.Dir, named string) error {
	id, err := zonedir.Identify(root)
	if err == nil && id == recorded {
		err = fmt.Errorf("it uses this directory by the name %s", named)
	}
	return err
}

// refers reports whether the path that a process names is the zone's directory. It
// may be another path of the same directory: through a symbolic link, a bind mount, or
// from before the agent's whole state was moved. The zone's name in it is always the
// same. If the path no longer exists, the zone's record decides, if there is one: it
// identifies the directory that it was written in.
func (m *Manager) refers(path, name string, root *os.Root, b zonedir.Boot) (bool, error) {
	if path == m.zoneDir(name) {
		return true, nil
	}
	if filepath.Base(path) != name || root == nil {
		return false, nil
	}
	own, err := root.Stat(".")
	if err != nil {
		return false, fmt.Errorf("look at zone's directory: %w", err)
	}
	there, err := os.Stat(path)
	switch {
	case err == nil:
		return os.SameFile(own, there), nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		if b.Init.PID == 0 {
			return false, nil
		}
		if id, err := zonedir.Identify(root); err != nil || id == b.Dir {
			return err == nil, err
		}
		return false, fmt.Errorf("it belongs to the zone in %s, which is gone, and this directory is a copy", path)
	default:
		return false, fmt.Errorf("look at directory of zone: %w", err)
	}
}

// search looks for processes of a zone whose recorded init has ended, or that has no
// usable record. An empty control group proves that no process is left in it. If a
// server could have left its group, or has none, all processes of the host are
// scanned.
func (m *Manager) search(ps *processes, usable bool) error {
	ps.grouped = usable && len(ps.groups) > 0 && (ps.boot.Init.PID == 0 || ps.boot.PIDNS || slices.Contains(ps.groups, ps.boot.Cgroup))
	populated := false
	for _, dir := range ps.groups {
		in, err := cgroup.Populated(dir)
		switch {
		case errors.Is(err, cgroup.ErrNone):
			ps.grouped = false
		case err != nil:
			return err
		}
		populated = populated || in
	}
	if ps.grouped && !populated && (ps.boot.Init.PID == 0 || ps.boot.PIDNS) {
		return nil
	}
	if err := m.scan(ps); err != nil {
		return err
	}
	if populated && !ps.running && ps.rest == "" {
		ps.rest = "processes are left in its control group"
	}
	return nil
}

// kill sends SIGKILL to all of the processes without waiting. If a control group or a
// PID namespace has reached them all, that is enough unless thorough is set. Otherwise
// it tries every means.
func (ps processes) kill(thorough bool) error {
	var errs []error
	reached := ps.rest == "" && slices.Contains(ps.groups, ps.boot.Cgroup)
	for _, dir := range ps.groups {
		if err := cgroup.Kill(dir); err != nil {
			errs, reached = append(errs, err), false
		}
	}
	if ps.running && (ps.boot.PIDNS || reached) {
		// The kernel kills a PID namespace with its first process.
		err := ps.signal(syscall.SIGKILL)
		errs = append(errs, err)
		reached = reached || err == nil
	}
	if reached && !thorough {
		return nil
	}
	if ps.running {
		// While it is stopped it starts no new processes.
		errs = append(errs, ps.signal(syscall.SIGSTOP))
	}
	if ps.running || ps.rest != "" {
		errs = append(errs, proc.KillTree(ps.boot.Init, ps.stray))
	}
	if ps.running {
		errs = append(errs, ps.signal(syscall.SIGKILL))
	}
	return errors.Join(errs...)
}

func (ps processes) signal(sig syscall.Signal) error {
	if ps.tree != nil {
		return ignoreGone(ps.tree.handle.Signal(sig))
	}
	h, err := proc.Open(ps.boot.Init)
	if err != nil {
		return ignoreGone(err)
	}
	defer h.Close()
	return ignoreGone(h.Signal(sig))
}

func ignoreGone(err error) error {
	if errors.Is(err, proc.ErrGone) {
		return nil
	}
	return err
}

// stray reports whether a process belongs to the zone although it may not be a
// descendant of its init. While the init is alive, it adopts every orphan on Linux, and
// its session identifies them on macOS. Afterwards only the mark does.
func (ps processes) stray(p proc.Info) (bool, error) {
	if ps.running {
		return p.Session == ps.boot.Init.PID && p.ID != ps.boot.Init, nil
	}
	if p.Kernel || p.PID == os.Getpid() {
		return false, nil
	}
	_, mark, err := proc.Started(p.PID, zoneinit.EnvZone)
	if unseen(err) {
		return false, nil // Look reports processes that cannot be looked into
	}
	if err != nil || mark == "" {
		return false, err
	}
	return ps.own(mark)
}
