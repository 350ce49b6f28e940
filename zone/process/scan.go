package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
	"github.com/sledagent/sledagent/zone/process/internal/zoneinit"
)

// A hostProcess is one process of the host and which zone it claims to be of.
type hostProcess struct {
	proc.Info
	// init is the directory of the zone whose init it is by its command line; empty
	// if it is not an init, or not this user's.
	init string
	// mark is the zone's directory in its environment (zoneinit.EnvZone).
	mark string
	// seen reports whether its environment was read.
	seen bool
	// hidden is why its environment was not read although it may be of a zone; nil
	// if it cannot be.
	hidden error
}

// scanHost looks at every process of the host except kernel threads. The process with
// pid 1 and this one are not looked into, since they cannot be of a zone. Nor can
// other users' processes, for an unprivileged agent.
func scanHost() ([]hostProcess, error) {
	all, err := proc.All()
	if err != nil {
		return nil, err
	}
	found := make([]hostProcess, 0, len(all))
	for _, p := range all {
		if p.Ended() || p.Kernel {
			continue
		}
		if p.PID == 1 || p.PID == os.Getpid() {
			found = append(found, hostProcess{Info: p})
			continue
		}
		r, err := lookInto(p)
		switch {
		case errors.Is(err, proc.ErrGone):
		case err != nil:
			return nil, err
		default:
			found = append(found, r)
		}
	}
	return found, nil
}

// unseen reports whether an error concerns one process and not the host.
func unseen(err error) bool {
	return errors.Is(err, proc.ErrHidden) || errors.Is(err, proc.ErrStarting)
}

func lookInto(p proc.Info) (hostProcess, error) {
	r := hostProcess{Info: p}
	args, mark, err := proc.Started(p.PID, zoneinit.EnvZone)
	if err != nil && !unseen(err) {
		return r, err
	}
	r.mark, r.seen = mark, err == nil
	dir, init := zoneinit.Dir(args)
	if err == nil && !init {
		return r, nil
	}
	real, _, uerr := proc.Users(p.PID)
	if uerr != nil {
		return r, uerr
	}
	ours := real == os.Geteuid()
	if init && ours {
		r.init = dir
	}
	if err != nil && (ours || os.Geteuid() == 0) {
		r.hidden = err
	}
	return r, nil
}

// How often, and with which pause, a scan is repeated because a process is starting
// a program or ending.
const (
	scanTries = 50
	scanPause = 10 * time.Millisecond
)

// scan looks for processes of a zone among all of the host: its init, by the command
// line, and processes with the zone's mark.
func (m *Manager) scan(ps *processes) error {
	for try := 1; ; try++ {
		all, err := m.hostScan.Get(context.Background())
		if err != nil {
			return err
		}
		err = ps.findIn(all, m.others(ps.name))
		if !errors.Is(err, proc.ErrStarting) || try == scanTries {
			return err
		}
		time.Sleep(scanPause)
	}
}

// others returns the inits of all other zones that are watched.
func (m *Manager) others(name string) map[proc.ID]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	inits := make(map[proc.ID]bool, len(m.trees))
	for other, t := range m.trees {
		if other != name {
			inits[t.boot.Init] = true
		}
	}
	return inits
}

func (ps *processes) findIn(all []hostProcess, others map[proc.ID]bool) error {
	var left []hostProcess
	foreign := others
	for _, r := range all {
		init, err := ps.isOwn(r, r.init)
		if err != nil {
			return err
		}
		if init {
			ps.boot, ps.running = zonedir.Boot{Init: r.ID}, true
			return nil
		}
		own, err := ps.isOwn(r, r.mark)
		if err != nil {
			return err
		}
		if own {
			left = append(left, r)
		} else if r.mark != "" {
			foreign[r.ID] = true
		}
	}
	if len(left) > 0 {
		ps.rest = fmt.Sprintf("%d processes are left, one is %v", len(left), left[0].Info)
		return nil
	}
	return ps.unseenIn(all, foreign)
}

// isOwn reports whether a path that a process named is the zone's directory. If that
// is unknown, it checks whether the process has ended since.
func (ps *processes) isOwn(r hostProcess, path string) (bool, error) {
	if path == "" {
		return false, nil
	}
	own, err := ps.own(path)
	if err == nil {
		return own, nil
	}
	now, serr := proc.Stat(r.PID)
	switch {
	case errors.Is(serr, proc.ErrGone), serr == nil && (now.ID != r.ID || now.Ended()):
		return false, nil
	case serr == nil && now.Exiting:
		err = fmt.Errorf("%w: %w", err, proc.ErrStarting)
	}
	return false, fmt.Errorf("process %d: %w", r.PID, err)
}

// unseenIn returns an error if a process that could not be looked into may be of the
// zone. None can be in three cases: no process outlives the init of a PID namespace,
// a control group shows what is left in it, and an init that is not recorded has
// started nothing.
func (ps *processes) unseenIn(all []hostProcess, foreign map[proc.ID]bool) error {
	if ps.boot.Init.PID == 0 || ps.boot.PIDNS || ps.grouped {
		return nil
	}
	byPID := make(map[int]hostProcess, len(all))
	for _, r := range all {
		byPID[r.PID] = r
		// A process that was looked into, has no mark and is newer than the init is
		// not of the zone. Nor are its children: orphans go to older processes.
		if r.seen && r.mark == "" && r.Start > ps.boot.Init.Start {
			foreign[r.ID] = true
		}
	}
	for _, r := range all {
		if r.hidden == nil || below(r, byPID, foreign) || ps.precedes(r, byPID) {
			continue
		}
		elsewhere, err := ps.elsewhere(r)
		if err != nil {
			return err
		}
		if !elsewhere {
			return fmt.Errorf("%v may be of the zone: %w", r.Info, r.hidden)
		}
	}
	return nil
}

// precedes reports whether a process or the leader of its session is older than the
// zone's init.
func (ps *processes) precedes(r hostProcess, byPID map[int]hostProcess) bool {
	leader, led := byPID[r.Session]
	return r.Start < ps.boot.Init.Start || led && leader.Start < ps.boot.Init.Start
}

// elsewhere reports whether a process is outside of the control group in which the
// zone was started. Only a service manager moves processes out of it.
func (ps *processes) elsewhere(r hostProcess) (bool, error) {
	home := ps.boot.Home
	if home == "" || home == "/" {
		return false, nil
	}
	group, err := proc.Group(r.PID)
	if errors.Is(err, proc.ErrGone) {
		return true, nil
	}
	return group != home && !strings.HasPrefix(group, home+"/"), err
}

// below reports whether a process is in the set or a descendant of one that is.
func below(r hostProcess, byPID map[int]hostProcess, in map[proc.ID]bool) bool {
	for range len(byPID) {
		if in[r.ID] {
			return true
		}
		parent, ok := byPID[r.PPID]
		if !ok {
			return false
		}
		r = parent
	}
	return false
}
