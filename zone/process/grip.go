package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
	"github.com/sledagent/sledagent/zone/process/internal/zoneinit"
)

// A grip is all by which a zone's processes can be got hold of, as of one look.
type grip struct {
	name string
	// boot is how the tree was started, as far as that is known.
	boot zonedir.Boot
	// running tells whether boot.Init lives.
	running bool
	// tree is the watched tree that boot.Init is the root of, if any.
	tree   *tree
	groups []string
	// loose: nothing but the process tree holds the zone together.
	loose bool
	// mark is the variable in the environment of each process of the zone.
	mark string
}

// grip looks for a zone's processes. root is the zone's directory, nil if that
// is not there.
func (m *Manager) grip(name string, root *os.Root) grip {
	g := grip{name: name, mark: zoneinit.EnvZone + "=" + m.zoneDir(name)}
	if t := m.tree(name); t != nil {
		g.tree, g.boot, g.running = t, t.boot, true
	} else if root != nil {
		g.boot, g.running = m.recorded(name, root)
	} else if m.iso.cgroups == "" {
		// Its record went with its directory, and no control group holds it.
		g.boot, g.running = m.unrecorded(name)
	}
	g.groups = m.groups(name, g.boot)
	g.loose = g.boot.Init.PID != 0 && loose(g.boot)
	return g
}

// recorded returns the tree that boot.json names, unless that was before the
// host's boot, and whether it lives.
func (m *Manager) recorded(name string, root *os.Root) (zonedir.Boot, bool) {
	b, err := zonedir.Read(root, zonedir.BootFile, zonedir.ParseBoot)
	switch {
	case err == nil && b.BootID == m.bootID:
		return b, proc.Alive(b.Init)
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return zonedir.Boot{}, false
	}
	return m.unrecorded(name) // nobody can read whom it names
}

// unrecorded returns the tree of a zone of which no record says which it is, and
// whether it lives: an init is known by its command line too.
func (m *Manager) unrecorded(name string) (zonedir.Boot, bool) {
	b := zonedir.Boot{BootID: m.bootID}
	all, err := proc.All()
	if err != nil {
		return b, false
	}
	for _, p := range all {
		if !p.Ended() && proc.HasArgs(p.PID, zoneinit.Arg0, m.zoneDir(name)) {
			b.Init = p.ID
			return b, true
		}
	}
	b.Init = proc.ID{PID: -1} // somebody that is no more
	return b, false
}

// kill sends SIGKILL to all that the grip holds, and waits for nobody.
func (g grip) kill() error {
	var errs []error
	for _, dir := range g.groups {
		errs = append(errs, cgroup.Kill(dir))
	}
	if g.loose {
		if g.running {
			// Stopped, it starts nothing new while what it has is killed.
			errs = append(errs, g.signal(syscall.SIGSTOP))
		}
		errs = append(errs, proc.KillTree(g.boot.Init, g.stray))
	}
	if g.running {
		errs = append(errs, g.signal(syscall.SIGKILL))
	}
	return errors.Join(errs...)
}

func (g grip) signal(sig syscall.Signal) error {
	if g.tree != nil {
		return ignoreGone(g.tree.handle.Signal(sig))
	}
	h, err := proc.Open(g.boot.Init)
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

// stray tells whether a process belongs to the zone though it may be no
// descendant of its init. While the init lives, it has every orphan on Linux,
// and its session on macOS; afterwards the mark is all there is.
func (g grip) stray(p proc.Info) bool {
	if g.running {
		return p.Session == g.boot.Init.PID && p.ID != g.boot.Init
	}
	return p.PID != os.Getpid() && proc.HasEnv(p.PID, g.mark)
}

// rest says what is left of a zone whose init has ended; empty if nothing.
func (g grip) rest() (string, error) {
	for _, dir := range g.groups {
		populated, err := cgroup.Populated(dir)
		if err != nil {
			return "", err
		}
		if populated {
			return "processes are left in its control group", nil
		}
	}
	if !g.loose {
		return "", nil
	}
	all, err := proc.All()
	if err != nil {
		return "", err
	}
	left := proc.Descendants(all, proc.ID{}, g.stray)
	if len(left) == 0 {
		return "", nil
	}
	return fmt.Sprintf("%d processes are left, one is %v", len(left), left[0]), nil
}
