package illumos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone"
)

// errActive is the error of a step that needs a zone without processes.
var errActive = errors.New("halt it first")

// Remove implements zone.Manager. Every rung except the one for a kernel VM cancels
// a Create or Boot that was called earlier.
func (m *Manager) Remove(ctx context.Context, rung zone.Rung, name string) error {
	err := m.ours(name)
	if err == nil {
		err = m.remove(ctx, rung, name)
	}
	if err != nil {
		return fmt.Errorf("%s zone %s: %w", rung, name, err)
	}
	return nil
}

func (m *Manager) remove(ctx context.Context, rung zone.Rung, name string) error {
	locked := map[zone.Rung]func(context.Context, string) error{zone.RungHalt: m.halt, zone.RungUninstall: m.uninstall,
		zone.RungDelete: m.delete, zone.RungRelease: m.release}[rung]
	switch {
	case rung == zone.RungKill:
		m.locks.BreakOff(name)
		return m.kill(ctx, name)
	case rung == zone.RungDestroyVM:
		return m.destroyVM(ctx, name)
	case locked == nil:
		return errors.New("there is no such rung")
	}
	return m.locks.Remove(ctx, name, func(ctx context.Context) error {
		if err := m.notForeign(ctx, name); err != nil {
			return err
		}
		return locked(ctx, name)
	})
}

// kill takes no lock.
func (m *Manager) kill(ctx context.Context, name string) error {
	if err := m.notForeign(ctx, name); err != nil {
		return err
	}
	err := m.pkill.kill(ctx, name)
	if err == nil {
		return nil
	}
	// pkill exits with 2 if no zone of that name is active: it looks up the name in the kernel.
	if !m.mayBeActive(ctx, name) {
		return nil
	}
	return err
}

// halt halts the zone. A halt that has begun cannot be interrupted: when ctx ends
// it continues in zoneadmd. The next call waits for it, or starts a new one if
// zoneadmd died meanwhile. A zone whose state cannot be read is halted as well:
// zoneadm does not need our listing.
func (m *Manager) halt(ctx context.Context, name string) error {
	if !m.mayBeActive(ctx, name) {
		return nil
	}
	argv := []string{"zoneadm", "-z", name, "halt"}
	haltErr := m.commands.Run(ctx, command.Call{Argv: argv, For: name, Budget: removeBudget, Leave: true})
	if errors.Is(haltErr, command.ErrTooMany) {
		return m.awaitHalt(ctx, name, haltErr)
	}
	i, err := m.lookAfter(ctx, name)
	if err != nil {
		return errors.Join(haltErr, err)
	}
	if active(i.State) {
		return errors.Join(haltErr, fmt.Errorf("it is still %v", i.State))
	}
	return nil
}

// mayBeActive reports whether a zone is active, or its state cannot be read in time.
func (m *Manager) mayBeActive(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, readBudget)
	defer cancel()
	i, err := m.look(ctx, name)
	return err != nil || active(i.State)
}

// lookAfter reads a zone's state after a command, unless ctx has ended.
func (m *Manager) lookAfter(ctx context.Context, name string) (zone.Info, error) {
	if ctx.Err() != nil {
		return zone.Info{}, context.Cause(ctx)
	}
	return m.look(ctx, name)
}

// awaitHalt waits for halts in progress. Another client would only queue behind
// them, since zoneadmd handles one request at a time (illumos zoneadmd.c).
func (m *Manager) awaitHalt(ctx context.Context, name string, why error) error {
	for {
		select {
		case <-time.After(m.haltPoll):
		case <-ctx.Done():
			return errors.Join(why, context.Cause(ctx))
		}
		i, err := m.look(ctx, name)
		if err != nil {
			return errors.Join(why, err)
		}
		if !active(i.State) {
			return nil
		}
	}
}

// destroyVM destroys a kernel VM that outlived its zone. The VM of an active zone is
// refused: the kernel frees it with the zone, and destroying a VM that a server has
// open would block (illumos vmm_sol_dev.c).
func (m *Manager) destroyVM(ctx context.Context, name string) error {
	if m.cfg.VM == nil {
		return nil
	}
	if err := m.notForeign(ctx, name); err != nil {
		return err
	}
	i, err := m.look(ctx, name)
	if err != nil {
		return err
	}
	if active(i.State) {
		return fmt.Errorf("the zone is %v: %w", i.State, errActive)
	}
	there, err := m.cfg.VM.Exists(ctx, m.propolisID(name))
	if err != nil || !there {
		return err
	}
	return m.cfg.VM.DestroyVM(ctx, m.propolisID(name))
}

// uninstall removes the zone's files. The brand removes what it installed, and
// zoneadm leaves the zonepath and its dataset (illumos zoneadm.c), which are removed
// here.
func (m *Manager) uninstall(ctx context.Context, name string) error {
	i, err := m.look(ctx, name)
	switch {
	case err != nil:
		return err
	case active(i.State):
		return fmt.Errorf("it is %v: %w", i.State, errActive)
	case i.State == zone.Installed || i.State == zone.Incomplete:
		if err := m.runUninstall(ctx, name); err != nil {
			return err
		}
	}
	return m.removePath(ctx, name)
}

// runUninstall runs zoneadm uninstall. Without -F it prompts. It can exit with any
// code (illumos zoneadm.c).
func (m *Manager) runUninstall(ctx context.Context, name string) error {
	argv := []string{"zoneadm", "-z", name, "uninstall", "-F"}
	if err := m.unmount(ctx, name); err != nil {
		return err
	}
	failed := m.commands.Run(ctx, command.Call{Argv: argv, For: name, Budget: removeBudget})
	i, err := m.lookAfter(ctx, name)
	if err != nil {
		return errors.Join(failed, err)
	}
	if i.State == zone.Configured || i.State == zone.Absent {
		return nil
	}
	return errors.Join(failed, fmt.Errorf("it is still %v", i.State))
}

// delete removes the zone's links and then its configuration, which is the only
// record of them.
func (m *Manager) delete(ctx context.Context, name string) error {
	i, err := m.look(ctx, name)
	switch {
	case err != nil:
		return err
	case i.State == zone.Absent:
		return nil
	case i.State != zone.Configured:
		// zonecfg would delete the configuration and orphan the files (illumos zonecfg.c).
		return fmt.Errorf("it is %v, not %v", i.State, zone.Configured)
	}
	if err := m.commands.Making(name); err != nil {
		return err
	}
	links, err := m.linksOf(ctx, name)
	if err != nil {
		return m.unlessAbsent(ctx, name, err)
	}
	if err := m.unmakeLinks(ctx, name, links); err != nil {
		return err
	}
	if err := m.unconfigure(ctx, name); err != nil {
		return err
	}
	m.facts.change(name, (*fact).forgetLinks)
	return nil
}

// linksOf returns the links in a zone's configuration and those known to have been
// created for it. An unreadable configuration is an error only if no such link is
// known.
func (m *Manager) linksOf(ctx context.Context, name string) ([]string, error) {
	links := m.facts.of(name).made
	cfg, err := m.export(ctx, name)
	if err != nil && (len(links) == 0 || ctx.Err() != nil) {
		return nil, err
	}
	m.facts.noteLinks(name, cfg.Links)
	for _, link := range cfg.Links {
		if !slices.Contains(links, link) {
			links = append(links, link)
		}
	}
	return links, nil
}

// release removes what is left of an absent zone. Usually nothing is left, since
// uninstall and delete remove the zone's resources before the record of them.
//
// If another program has deleted the configuration, release removes the datalinks
// that this manager created for the zone or that Recall named. It leaves other links
// with names like Create's that are in no configuration: they may belong to another
// agent.
func (m *Manager) release(ctx context.Context, name string) error {
	i, err := m.look(ctx, name)
	if err != nil {
		return err
	}
	if i.State != zone.Absent {
		return fmt.Errorf("it is %v, not %v", i.State, zone.Absent)
	}
	if err := m.commands.Making(name); err != nil {
		return err
	}
	err = errors.Join(m.removePath(ctx, name), m.unmakeLinks(ctx, name, m.facts.of(name).made))
	if err == nil {
		m.facts.change(name, func(f *fact) {
			f.forgetLinks()
			f.listed = ""
		})
	}
	return err
}
