package process

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
	"github.com/sledagent/sledagent/zone/process/internal/zoneinit"
)

// abandonTime bounds how long a failed Boot stays to see its processes end.
// They were sent SIGKILL by then; those that outlive it are found by Look.
const abandonTime = 2 * time.Second

// Boot implements zone.Manager. If the server cannot be started, the error says
// why and the zone is Installed as before.
func (m *Manager) Boot(ctx context.Context, name string) error {
	return m.exclusively(ctx, "boot", name, false, func(v *visit) error {
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
		if err := v.overtaken(); err != nil {
			return err
		}
		err = m.boot(v, root, job)
		if err != nil {
			m.abandon(ctx, name, root)
		}
		return err
	})
}

// job says what the zone's init is to do, if the zone is there to be booted.
func (m *Manager) job(name string, root *os.Root) (zoneinit.Job, error) {
	info, err := m.look(name)
	if err != nil {
		return zoneinit.Job{}, err
	}
	if info.State != zone.Installed {
		return zoneinit.Job{}, fmt.Errorf("%w, it is %v", zone.ErrNotInstalled, info.State)
	}
	cfg, err := zonedir.Read(root, zonedir.ConfigFile, zonedir.ParseConfig)
	if err != nil {
		return zoneinit.Job{}, err
	}
	argv, err := m.command(cfg.Spec)
	if err != nil {
		return zoneinit.Job{}, err
	}
	return zoneinit.Job{Argv: argv, LogMax: m.cfg.LogMax, PIDNS: m.iso.pidns}, nil
}

// boot starts an init, writes down which process it is and only then lets it
// start the server.
func (m *Manager) boot(v *visit, root *os.Root, job zoneinit.Job) error {
	if err := root.RemoveAll(zonedir.ExitFile); err != nil {
		return fmt.Errorf("forget how the server ended: %w", err)
	}
	group := m.group(v.name)
	if group != "" {
		if err := cgroup.Make(group); err != nil {
			return err
		}
	}
	conn, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer conn.Close()
	t, err := m.spawn(v, group, theirs)
	theirs.Close()
	if err != nil {
		return err
	}
	if err := zonedir.Write(root, zonedir.BootFile, t.boot); err != nil {
		return err
	}
	// Whichever side the handshake waits for, it is broken off with the call.
	unhook := context.AfterFunc(v.ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer unhook()
	err = zoneinit.Start(conn, job)
	if cause := v.overtaken(); cause != nil {
		return cause
	}
	return err
}

// spawn starts a zone's init, which waits for its job, and watches it. After
// an error no such process is left.
func (m *Manager) spawn(v *visit, group string, socket *os.File) (*tree, error) {
	attr, done, err := sysProcAttr(m.iso.pidns, group)
	if err != nil {
		return nil, err
	}
	defer done()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open init's streams: %w", err)
	}
	defer null.Close()
	dir := m.zoneDir(v.name)
	pid, pidfd, err := fork(m.cfg.Self, []string{zoneinit.Arg0, dir}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   append(serverEnv(os.Environ()), zoneinit.EnvZone+"="+dir),
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), socket.Fd()},
		Sys:   attr,
	})
	if err != nil {
		return nil, fmt.Errorf("start zone init %s: %w", m.cfg.Self, err)
	}
	h, err := proc.Started(pid, pidfd)
	if err != nil {
		endChild(pid)
		return nil, err
	}
	b := zonedir.Boot{Init: h.ID(), BootID: m.bootID, PIDNS: m.iso.pidns, Cgroup: group}
	t, err := m.watchTree(v.name, b, h, v.overtaken)
	if err != nil {
		endChild(pid)
		h.Close()
		return nil, err
	}
	return t, nil
}

// endChild kills and reaps a child that nobody else knows of and that has
// started nothing, so that its end is a matter of microseconds.
func endChild(pid int) {
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// abandon leaves nothing of a boot that failed.
func (m *Manager) abandon(ctx context.Context, name string, root *os.Root) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonTime)
	defer cancel()
	if err := m.settle(ctx, name, root); err != nil {
		m.cfg.Log.Warn().Err(err).Str("zone", name).Msg("processes of a failed boot are left to the removal")
	}
}

// socketPair returns the two ends of the handshake: the agent's, on which
// deadlines work, and the init's.
func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make socket for zone init: %w", os.NewSyscallError("socketpair", err))
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		_ = syscall.Close(fds[0])
		_ = syscall.Close(fds[1])
		return nil, nil, fmt.Errorf("make socket for zone init: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "zone init"), os.NewFile(uintptr(fds[1]), "agent"), nil
}

// notForServers are variables that tell the agent about itself.
var notForServers = []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS",
	"LISTEN_FDNAMES", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", zoneinit.EnvZone}

// serverEnv returns the agent's environment without what a service manager put
// there for the agent alone.
func serverEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		key, _, _ := strings.Cut(v, "=")
		return slices.Contains(notForServers, key)
	})
}
