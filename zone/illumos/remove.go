package illumos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// errActive is what ends the removal of what only a zone without processes may lose.
var errActive = errors.New("halt it first")

// Kill implements zone.Manager. A Create or Boot that is under way fails.
func (m *Manager) Kill(ctx context.Context, name string) error {
	if err := m.ours(name); err != nil {
		return fmt.Errorf("kill zone: %w", err)
	}
	m.turns.breakOff(name)
	err := m.commands.Run(ctx, command.Call{Argv: []string{"pkill", "-9", "-z", name}, For: name, Budget: quickBudget})
	// pkill exits with 1 if no process matched, and with 2 if no zone of the name
	// is active (pkill(1)): it looks the name up in the kernel.
	if err == nil || command.Exit(err) == 1 {
		return nil
	}
	if i, lookErr := m.look(ctx, name); lookErr == nil && !active(i.State) {
		return nil
	}
	return fmt.Errorf("kill zone %s: %w", name, err)
}

// Halt implements zone.Manager. A halt that has begun cannot be interrupted:
// when ctx ends it goes on in zoneadmd, and the next Halt joins it or, if
// zoneadmd has died meanwhile, has it done anew.
func (m *Manager) Halt(ctx context.Context, name string) error {
	return m.remove(ctx, "halt", name, func(ctx context.Context) error {
		i, err := m.look(ctx, name)
		if err != nil || !active(i.State) {
			return err
		}
		argv := []string{"zoneadm", "-z", name, "halt"}
		haltErr := m.commands.Run(ctx, command.Call{Argv: argv, For: name, Budget: removeBudget, Leave: true})
		if errors.Is(haltErr, command.ErrTooMany) {
			return m.awaitHalt(ctx, name, haltErr)
		}
		if i, err = m.lookAfter(ctx, name); err != nil {
			return errors.Join(haltErr, err)
		}
		if active(i.State) {
			return errors.Join(haltErr, fmt.Errorf("it is still %v", i.State))
		}
		return nil
	})
}

// lookAfter looks what a command has done, also if that used up its context's time.
func (m *Manager) lookAfter(ctx context.Context, name string) (zone.Info, error) {
	if ctx.Err() != nil {
		return zone.Info{}, context.Cause(ctx)
	}
	return m.look(ctx, name)
}

// awaitHalt waits for halts that are under way. Another client would only wait
// behind them, since zoneadmd does one thing at a time (illumos zoneadmd.c).
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

// DestroyVM implements zone.Manager. The VM of an active zone goes with the
// zone: to take it from a server that has it open would block (illumos
// vmm_sol_dev.c).
func (m *Manager) DestroyVM(ctx context.Context, name string) error {
	if m.cfg.VM == nil {
		return nil
	}
	if err := m.ours(name); err != nil {
		return fmt.Errorf("destroy VM: %w", err)
	}
	if err := m.destroyVM(ctx, name); err != nil {
		return fmt.Errorf("destroy VM of zone %s: %w", name, err)
	}
	return nil
}

func (m *Manager) destroyVM(ctx context.Context, name string) error {
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

// Uninstall implements zone.Manager. The brand removes what it has installed;
// what zoneadm has made around that, the zonepath's dataset, is left (illumos
// zoneadm.c) and is removed here.
func (m *Manager) Uninstall(ctx context.Context, name string) error {
	return m.remove(ctx, "uninstall", name, func(ctx context.Context) error {
		i, err := m.look(ctx, name)
		switch {
		case err != nil:
			return err
		case active(i.State):
			return fmt.Errorf("it is %v: %w", i.State, errActive)
		case i.State == zone.Installed || i.State == zone.Incomplete:
			if err := m.uninstall(ctx, name); err != nil {
				return err
			}
		}
		return m.removePath(ctx, name)
	})
}

// uninstall runs zoneadm uninstall, which asks a person unless it is told -F,
// and can exit with any code (illumos zoneadm.c).
func (m *Manager) uninstall(ctx context.Context, name string) error {
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

// Delete implements zone.Manager. The configuration is the only record of which
// datalinks are the zone's, so they go first.
func (m *Manager) Delete(ctx context.Context, name string) error {
	return m.remove(ctx, "delete", name, func(ctx context.Context) error {
		i, err := m.look(ctx, name)
		switch {
		case err != nil:
			return err
		case i.State == zone.Absent:
			return nil
		case i.State != zone.Configured:
			// zonecfg would delete it, and orphan its files (illumos zonecfg.c).
			return fmt.Errorf("it is %v, not %v", i.State, zone.Configured)
		}
		if err := m.commands.Making(name); err != nil {
			return err
		}
		cfg, err := m.export(ctx, name)
		if err != nil {
			return m.unlessAbsent(ctx, name, err)
		}
		m.claims.note(name, cfg.Links)
		if err := m.unmakeLinks(ctx, name, cfg.Links); err != nil {
			return err
		}
		if err := m.unconfigure(ctx, name); err != nil {
			return err
		}
		m.claims.forget(name)
		return nil
	})
}

// Release implements zone.Manager: it removes what is left of a zone that is
// gone. Most of the time that is nothing, since Uninstall and Delete free what
// belongs to the zone before they take away what tells of it.
//
// Datalinks are removed that this manager has made for the zone, whose
// configuration somebody else has deleted. Other links that are named like Create's
// and that no configuration claims are not touched: they may be another agent's
// that has not yet written its configuration, or has none.
func (m *Manager) Release(ctx context.Context, name string) error {
	return m.remove(ctx, "release", name, func(ctx context.Context) error {
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
		if err := m.removePath(ctx, name); err != nil {
			return err
		}
		if err := m.unmakeLinks(ctx, name, m.claims.madeFor(name)); err != nil {
			return err
		}
		m.claims.forget(name)
		return nil
	})
}

// remove calls do in the zone's turn, after whatever makes the zone was broken off.
func (m *Manager) remove(ctx context.Context, verb, name string, do func(context.Context) error) error {
	err := m.ours(name)
	if err == nil {
		err = m.turns.remove(ctx, name, do)
	}
	if err != nil {
		return fmt.Errorf("%s zone %s: %w", verb, name, err)
	}
	return nil
}
