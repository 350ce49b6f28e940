package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// How often a halt looks for what is left and kills it again: at first soon,
// since most processes end at once, then seldom.
const (
	settleFirst = time.Millisecond
	settleMost  = 50 * time.Millisecond
)

// Kill implements zone.Manager. A Boot that is under way fails.
func (m *Manager) Kill(ctx context.Context, name string) error {
	v, err := m.enter(ctx, name, true)
	if err != nil {
		return fmt.Errorf("kill zone: %w", err)
	}
	defer v.leave()
	if t := m.tree(name); t != nil && t.boot.PIDNS {
		// The kernel kills a PID namespace with its first process
		// (pid_namespaces(7)), so one call is all, and nothing is opened first: many
		// deadlines may pass at once.
		return ignoreGone(t.handle.Signal(syscall.SIGKILL))
	}
	root := m.openAny(name)
	if root != nil {
		defer root.Close()
	}
	if err := m.grip(name, root).kill(); err != nil {
		return fmt.Errorf("kill zone %s: %w", name, err)
	}
	return nil
}

// openAny opens the zone's directory if that can be done. Processes are killed
// also where it cannot.
func (m *Manager) openAny(name string) *os.Root {
	root, err := m.open(name)
	if err != nil {
		return nil
	}
	return root
}

// Halt implements zone.Manager. It kills first, so it needs no Kill before it.
func (m *Manager) Halt(ctx context.Context, name string) error {
	return m.exclusively(ctx, "halt", name, true, func(*visit) error {
		root := m.openAny(name)
		if root != nil {
			defer root.Close()
		}
		return m.settle(ctx, name, root)
	})
}

// settle kills until nothing of the zone is left, then frees its control group
// and forgets its boot.
func (m *Manager) settle(ctx context.Context, name string, root *os.Root) error {
	pause := settleFirst
	for {
		g, left, err := m.killed(name, root)
		if err != nil {
			return err
		}
		if left == "" {
			return forget(g, root)
		}
		if err := m.awaitEnd(ctx, name, pause); err != nil {
			return fmt.Errorf("%w; %s", err, left)
		}
		pause = min(2*pause, settleMost)
	}
}

// killed kills what is left of the zone and says what that was; empty if
// nothing was.
func (m *Manager) killed(name string, root *os.Root) (grip, string, error) {
	g := m.grip(name, root)
	left := fmt.Sprintf("process %d has not ended", g.boot.Init.PID)
	if !g.running {
		var err error
		if left, err = g.rest(); err != nil || left == "" {
			return g, "", err
		}
	}
	return g, left, g.kill()
}

// awaitEnd returns when the zone's init has ended, at the latest after pause.
func (m *Manager) awaitEnd(ctx context.Context, name string, pause time.Duration) error {
	var done <-chan struct{}
	// Without a watch, and if there is none to watch, the pause is all.
	if t, err := m.adopt(name); err == nil && t != nil {
		done, pause = t.handle.Done(), settleMost
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// forget frees what a tree that has ended had from the host.
func forget(g grip, root *os.Root) error {
	for _, dir := range g.groups {
		if err := cgroup.Remove(dir); err != nil {
			return err
		}
	}
	if root == nil {
		return nil
	}
	if err := root.RemoveAll(zonedir.BootFile); err != nil {
		return fmt.Errorf("forget boot: %w", err)
	}
	return nil
}

// DestroyVM implements zone.Manager: there is no kernel VM.
func (m *Manager) DestroyVM(context.Context, string) error { return nil }

// errActive is what the removal of files ends with while processes are left.
var errActive = errors.New("halt it first")

// Uninstall implements zone.Manager.
func (m *Manager) Uninstall(ctx context.Context, name string) error {
	return m.exclusively(ctx, "uninstall", name, true, func(*visit) error {
		root, err := m.open(name)
		var notDir *zonedir.NotDirError
		if errors.As(err, &notDir) {
			return zonedir.Remove(m.dir, name)
		}
		if root == nil || err != nil {
			return err
		}
		defer root.Close()
		g := m.grip(name, root)
		if err := m.inactive(g); err != nil {
			return err
		}
		if err := forget(g, root); err != nil {
			return err
		}
		return zonedir.Strip(root, ctx.Err)
	})
}

// inactive returns an error if processes of the zone are left.
func (m *Manager) inactive(g grip) error {
	if g.running {
		return fmt.Errorf("process %d runs: %w", g.boot.Init.PID, errActive)
	}
	rest, err := g.rest()
	if err != nil {
		return err
	}
	if rest != "" {
		return fmt.Errorf("%s: %w", rest, errActive)
	}
	return nil
}

// Delete implements zone.Manager.
func (m *Manager) Delete(ctx context.Context, name string) error {
	return m.exclusively(ctx, "delete", name, true, func(*visit) error {
		info, err := m.look(name)
		if err != nil {
			return err
		}
		switch info.State {
		case zone.Absent:
			return nil
		case zone.Configured:
			return zonedir.Remove(m.dir, name)
		default:
			return fmt.Errorf("it is %v, not configured", info.State)
		}
	})
}

// Release implements zone.Manager: it removes the zone's control group.
func (m *Manager) Release(ctx context.Context, name string) error {
	return m.exclusively(ctx, "release", name, true, func(*visit) error {
		group := m.group(name)
		if group == "" {
			return nil
		}
		if err := cgroup.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}
