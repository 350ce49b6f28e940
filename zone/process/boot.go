package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
	"github.com/sledagent/sledagent/zone/process/internal/zoneinit"
)

// abandonTime bounds how long a failed Boot waits for its processes to end. They
// were sent SIGKILL. Look finds those that still live afterwards.
const abandonTime = 2 * time.Second

// Boot implements zone.Manager. If the server cannot be started, the zone stays
// Installed.
func (m *Manager) Boot(ctx context.Context, name string) error {
	return m.start(ctx, "boot", name, func(ctx context.Context) error {
		root, err := m.open(name)
		if err != nil {
			return err
		}
		if root == nil {
			return fmt.Errorf("%w, it is absent", zone.ErrNotInstalled)
		}
		defer root.Close()
		job, err := m.job(name, root)
		if err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err = m.boot(ctx, name, root, job)
		if err != nil {
			m.abandon(ctx, name, root)
		}
		return err
	})
}

// job returns the job of the zone's init, or an error if the zone cannot be booted.
func (m *Manager) job(name string, root *os.Root) (zoneinit.Job, error) {
	info, err := m.look(name)
	if err != nil {
		return zoneinit.Job{}, fmt.Errorf("%w: %w", zone.ErrUnsure, err)
	}
	if info.State != zone.Installed {
		return zoneinit.Job{}, fmt.Errorf("%w, it is %v", zone.ErrNotInstalled, info.State)
	}
	cfg, err := zonedir.Read(root, zonedir.ConfigFile, zonedir.ParseConfig)
	if err != nil {
		return zoneinit.Job{}, err
	}
	if cfg.Spec.Name != name {
		return zoneinit.Job{}, fmt.Errorf("its configuration belongs to zone %q", cfg.Spec.Name)
	}
	argv, err := m.command(cfg.Spec)
	if err != nil {
		return zoneinit.Job{}, err
	}
	env := append(serverEnv(os.Environ()), zoneinit.EnvZone+"="+m.zoneDir(name))
	return zoneinit.Job{Argv: argv, Env: env, LogMax: m.cfg.LogMax, PIDNS: m.iso.pidns, Counted: m.countsTasks()}, nil
}

// boot starts an init, records which process it is and only then lets it start the
// server.
func (m *Manager) boot(ctx context.Context, name string, root *os.Root, job zoneinit.Job) error {
	if err := zonedir.Forget(root, zonedir.ExitFile); err != nil {
		return err
	}
	groups, err := m.makeGroups(name)
	if err != nil {
		return err
	}
	conn, theirs, err := proc.SocketPair()
	if err != nil {
		return err
	}
	defer conn.Close()
	t, err := m.spawn(ctx, name, root, groups, theirs)
	theirs.Close()
	if err != nil {
		return err
	}
	if err := zonedir.Write(root, zonedir.BootFile, t.boot); err != nil {
		return err
	}
	// The end of ctx interrupts the handshake in either direction.
	unhook := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	err = zoneinit.Start(conn, job)
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// spawn starts and watches a zone's init, which waits for its job. After an error
// that process is gone.
func (m *Manager) spawn(ctx context.Context, name string, root *os.Root, groups []string, socket *os.File) (*tree, error) {
	own, err := zonedir.Identify(root)
	if err != nil {
		return nil, err
	}
	dir := m.zoneDir(name)
	pid, err := m.starter.start(ctx, m.cfg.Self, []string{zoneinit.Arg0, dir}, zoneinit.Env(dir), m.iso.pidns, socket)
	if err != nil {
		return nil, errFork{fmt.Errorf("start zone init: %w", err)}
	}
	h, err := m.hold(pid, groups)
	if err != nil {
		proc.EndChild(pid)
		return nil, err
	}
	home := ""
	if m.group(name) == "" {
		home, _ = proc.Group(pid) // without it, fewer processes can be ruled out
	}
	b := zonedir.Boot{Init: h.ID(), Home: home, PIDNS: m.iso.pidns, Cgroup: m.group(name), Tasks: m.taskGroup(name), Dir: own}
	t, err := m.watchTree(ctx, name, b, h)
	if err != nil {
		proc.EndChild(pid)
		h.Close()
		return nil, err
	}
	return t, nil
}

// hold returns the handle of an init that was just started, and moves it into its
// control groups. The init has no children yet, so no process stays outside.
func (m *Manager) hold(pid int, groups []string) (*proc.Handle, error) {
	h, err := proc.Child(pid)
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		if err := cgroup.Enter(group, pid); err != nil {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// abandon removes the processes of a failed boot.
func (m *Manager) abandon(ctx context.Context, name string, root *os.Root) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	if err := m.endAll(ctx, name, root); err != nil {
		m.cfg.Log.Warn().Err(err).Str("zone", name).Msg("failed to end the processes of a failed boot")
	}
}

// notForServers are variables that a service manager sets for the agent itself.
var notForServers = []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS",
	"LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", zoneinit.EnvZone}

// serverEnv returns the agent's environment without notForServers.
func serverEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		key, _, _ := strings.Cut(v, "=")
		return slices.Contains(notForServers, key)
	})
}
