package illumos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// List implements zone.Manager.
func (m *Manager) List(ctx context.Context) ([]zone.Info, error) {
	l, err := m.zones.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("list zones: %w", err)
	}
	var infos []zone.Info
	for name, z := range l.zones {
		if m.ours(name) == nil {
			infos = append(infos, m.detailed(info(z)))
		}
	}
	slices.SortFunc(infos, func(a, b zone.Info) int { return cmp.Compare(a.Name, b.Name) })
	return infos, nil
}

// Look implements zone.Manager.
func (m *Manager) Look(ctx context.Context, name string) (zone.Info, error) {
	if err := zone.ValidName(name); err != nil {
		return zone.Info{}, fmt.Errorf("look at zone: %w", err)
	}
	i, err := m.look(ctx, name)
	if err != nil {
		return zone.Info{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return i, nil
}

func (m *Manager) look(ctx context.Context, name string) (zone.Info, error) {
	l, err := m.zones.get(ctx)
	if err != nil {
		return zone.Info{}, err
	}
	i, err := l.look(name)
	if err != nil {
		return zone.Info{}, err
	}
	return m.detailed(i), nil
}

// detailed adds which commands for the zone have not ended.
func (m *Manager) detailed(i zone.Info) zone.Info {
	left := m.commands.Left(i.Name)
	if len(left) > 0 {
		oldest := slices.MinFunc(left, func(a, b command.Left) int { return a.Since.Compare(b.Since) })
		i.Detail = fmt.Sprintf("%q (process %d) has not ended for %s", oldest.Command, oldest.PID,
			time.Since(oldest.Since).Round(time.Second))
	}
	return i
}

// active tells whether a zone in this state has, or may have, something in the
// kernel.
func active(s zone.State) bool {
	switch s {
	case zone.Absent, zone.Configured, zone.Incomplete, zone.Installed:
		return false
	}
	return true
}
