package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/internal/rmtree"
	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/proc"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// The pauses after which a halt looks for processes and kills them again. The first
// are short, since most processes end at once.
const (
	haltPauseMin = time.Millisecond
	haltPauseMax = 50 * time.Millisecond
	// thoroughAfter is the number of rounds that use only a kill of all processes at
	// once, since processes take a moment to end.
	thoroughAfter = 10
)

// Remove implements zone.Manager. There are no kernel VMs.
func (m *Manager) Remove(ctx context.Context, rung zone.Rung, name string) error {
	err := zone.ValidName(name)
	if err == nil {
		err = m.remove(ctx, rung, name)
	}
	return failed(string(rung), name, err)
}

func (m *Manager) remove(ctx context.Context, rung zone.Rung, name string) error {
	locked := map[zone.Rung]func(context.Context, string) error{zone.RungHalt: m.halt, zone.RungUninstall: m.uninstall,
		zone.RungDelete: m.delete, zone.RungRelease: m.release}[rung]
	switch {
	case rung == zone.RungKill:
		m.locks.BreakOff(name)
		return m.kill(name)
	case rung == zone.RungDestroyVM:
		return nil
	case locked == nil:
		return errors.New("there is no such rung")
	}
	return m.locks.Remove(ctx, name, func(ctx context.Context) error { return locked(ctx, name) })
}

// kill takes no lock.
func (m *Manager) kill(name string) error {
	if h := m.Hold(name); h != nil && h.Kill() {
		return nil
	}
	root := m.openAny(name)
	if root != nil {
		defer root.Close()
	}
	ps, err := m.processes(name, root)
	return errors.Join(err, ps.kill(false))
}

// openAny opens the zone's directory, or returns nil if it cannot. Processes are
// killed in either case.
func (m *Manager) openAny(name string) *os.Root {
	root, err := m.open(name)
	if err != nil {
		return nil
	}
	return root
}

// halt ends all processes of the zone. It needs no kill before it.
func (m *Manager) halt(ctx context.Context, name string) error {
	root := m.openAny(name)
	if root != nil {
		defer root.Close()
	}
	return m.endAll(ctx, name, root)
}

// endAll kills until no process of the zone is left, then removes its control groups
// and its boot record. Kills are repeated, at last by every means.
func (m *Manager) endAll(ctx context.Context, name string, root *os.Root) error {
	pause := haltPauseMin
	for round := 1; ; round++ {
		ps, err := m.processes(name, root)
		if err == nil && !ps.running && ps.rest == "" {
			if err := forget(ps, root); err != nil {
				m.cfg.Log.Warn().Err(err).Str("zone", name).Msg("halted zone, but failed to free its resources; removal will retry")
			}
			return nil
		}
		kerr := errors.Join(err, ps.kill(round > thoroughAfter))
		if err != nil && !errors.Is(err, proc.ErrStarting) {
			return kerr
		}
		if err := m.awaitEnd(ctx, name, pause); err != nil {
			return errors.Join(fmt.Errorf("%w; %s", err, ps.left()), kerr)
		}
		pause = min(2*pause, haltPauseMax)
	}
}

// left describes what is left of the zone; empty if nothing is.
func (ps processes) left() string {
	if ps.running {
		return fmt.Sprintf("process %d has not ended", ps.boot.Init.PID)
	}
	return ps.rest
}

// awaitEnd waits until the zone's init has ended, at most for pause. With a watched
// init it waits up to haltPauseMax.
func (m *Manager) awaitEnd(ctx context.Context, name string, pause time.Duration) error {
	var done <-chan struct{}
	if t, err := m.adopt(name); err == nil && t != nil {
		done, pause = t.handle.Done(), haltPauseMax
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

// forget removes the control groups and the boot record of a tree that has ended. The
// record is removed even if a group cannot be.
func forget(ps processes, root *os.Root) error {
	var errs []error
	for _, dir := range slices.Concat(ps.groups, ps.tasks) {
		errs = append(errs, cgroup.Remove(dir))
	}
	if root != nil {
		errs = append(errs, zonedir.Forget(root, zonedir.BootFile))
	}
	return errors.Join(errs...)
}

// errActive: files are not removed while processes are left.
var errActive = errors.New("halt it first")

// uninstall removes the zone's files, unless something is mounted in its directory.
func (m *Manager) uninstall(ctx context.Context, name string) error {
	root, err := m.open(name)
	var notDir *zonedir.NotDirError
	if err != nil && !errors.As(err, &notDir) {
		return err
	}
	if root != nil {
		defer root.Close()
	}
	ps, err := m.processes(name, root)
	if err != nil {
		return err
	}
	if left := ps.left(); left != "" {
		return fmt.Errorf("%s: %w", left, errActive)
	}
	switch {
	case notDir != nil:
		return zonedir.Remove(ctx, m.dir, name)
	case root == nil:
		return nil
	}
	if err := m.unmounted(name); err != nil {
		return err
	}
	return errors.Join(forget(ps, root), zonedir.Strip(ctx, root))
}

// unmounted returns an error if there is a mount point at or below the zone's
// directory.
func (m *Manager) unmounted(name string) error {
	point, err := rmtree.MountIn(m.zoneDir(name))
	if err == nil && point != "" {
		err = fmt.Errorf("%s %w: unmount it first", plain.Line(point, maxDetail), rmtree.ErrMount)
	}
	return err
}

// delete removes the rest of the zone's directory.
func (m *Manager) delete(ctx context.Context, name string) error {
	info, err := m.look(name)
	if err != nil {
		return err
	}
	switch info.State {
	case zone.Absent:
		return nil
	case zone.Configured:
		if err := m.unmounted(name); err != nil {
			return err
		}
		return zonedir.Remove(ctx, m.dir, name)
	default:
		return fmt.Errorf("it is %v, not configured", info.State)
	}
}

// release removes the zone's control groups and ends the effect of Recall.
func (m *Manager) release(_ context.Context, name string) error {
	for _, group := range []string{m.group(name), m.taskGroup(name)} {
		if group == "" {
			continue
		}
		if err := cgroup.Remove(group); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.recalled, name)
	return nil
}
