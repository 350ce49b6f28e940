package illumos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
)

// zonesDir holds the host's zone configurations: NAME.xml for each zone, and an
// index, from which zoneadm list reads the zones that are not active.
const zonesDir = "/etc/zones"

// resolve returns the state of a zone that a listing proves, or an error if it
// proves none. A zone that is not listed may still exist: zoneadm omits zones
// that it cannot read, and all inactive zones while it cannot open the index,
// and exits with 0 (illumos zoneadm.c). So an unlisted zone is absent only if it
// also has no configuration. With a configuration it is configured only if it
// has no processes and no files.
func (m *Manager) resolve(ctx context.Context, l listing, name string) (zone.Info, error) {
	i, listed, err := l.find(name)
	if err != nil || listed {
		if path := l.zones[name].Path; pathOf(path, name) {
			m.facts.change(name, func(f *fact) { f.listed = path })
		}
		return i, err
	}
	configured, known, err := m.configFile(name)
	switch {
	case err != nil:
		return zone.Info{}, err
	case known && !configured:
		if l.complete() != nil {
			// The unreadable lines are about other zones, and must not block this
			// one forever. The kernel knows whether it is active.
			if err := m.noProcess(ctx, name); err != nil {
				return zone.Info{}, errors.Join(l.complete(), err)
			}
		}
		return zone.Info{Name: name, State: zone.Absent}, nil
	}
	return m.resolveAgain(ctx, l, name)
}

// resolveAgain takes a second listing for an unlisted zone that has a
// configuration, or whose configuration file cannot be checked.
func (m *Manager) resolveAgain(ctx context.Context, l listing, name string) (zone.Info, error) {
	again, err := m.zones.Get(ctx)
	if err != nil {
		return zone.Info{}, err
	}
	i, listed, err := again.find(name)
	if err != nil || listed {
		return i, err
	}
	if err := errors.Join(l.complete(), again.complete()); err != nil {
		return zone.Info{}, err
	}
	// It may have been deleted since l; zonecfg reads the same file.
	configured, err := m.configuration(ctx, name)
	if err != nil {
		return zone.Info{}, err
	}
	if !configured {
		return zone.Info{Name: name, State: zone.Absent}, nil
	}
	if err := m.noProcess(ctx, name); err != nil {
		return zone.Info{}, fmt.Errorf("zoneadm list -cip: it does not list the zone, which has a configuration: %w", err)
	}
	if root := filepath.Join(m.zonePath(name), "root"); !notExist(root) {
		return zone.Info{}, fmt.Errorf("zoneadm list -cip: it does not list the zone, which has a configuration and files in %s", root)
	}
	// zonecfg writes the configuration before the index entry, and removes it after
	// that, so an interrupted zonecfg leaves a configuration that is not listed.
	return zone.Info{Name: name, State: zone.Configured}, nil
}

// configFile reports whether a zone has a configuration file. known is false if
// ZonesDir does not exist or has no index.
func (m *Manager) configFile(name string) (there, known bool, err error) {
	_, err = os.Lstat(filepath.Join(m.cfg.ZonesDir, "index"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err == nil {
		_, err = os.Lstat(filepath.Join(m.cfg.ZonesDir, name+".xml"))
		if errors.Is(err, fs.ErrNotExist) {
			return false, true, nil
		}
	}
	if err != nil {
		return false, false, fmt.Errorf("look for the zone's configuration: %w", err)
	}
	return true, true, nil
}

// configuration reports whether a zone has a configuration: from its file, or if
// that is not known, from zonecfg.
func (m *Manager) configuration(ctx context.Context, name string) (bool, error) {
	there, known, err := m.configFile(name)
	if err != nil || known {
		return there, err
	}
	_, err = m.export(ctx, name)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil && command.Exit(err) <= 0 {
		return false, err
	}
	return err == nil, nil
}

// noProcess returns an error unless the kernel has no process in the zone. pgrep
// exits with 1 if no process matches or the zone is not active, and with 2 if
// there is no zone of that name (pgrep(1), illumos libzonecfg.c).
func (m *Manager) noProcess(ctx context.Context, name string) error {
	out, err := m.commands.Output(ctx, command.Call{Argv: []string{"pgrep", "-z", name}, For: name, Budget: readBudget})
	switch {
	case err == nil:
		return fmt.Errorf("pgrep -z %s: it has processes: %s", name, plain.Line(string(out), 40))
	case command.Exit(err) == 1, command.Exit(err) == 2:
		return nil
	}
	return err
}
