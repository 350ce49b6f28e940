package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// List implements zone.Manager. A zone that cannot be looked at is listed as
// Unknown, with the reason; one whose directory was taken away is listed as
// long as processes of it are left in its control group.
func (m *Manager) List(ctx context.Context) ([]zone.Info, error) {
	names, err := m.names()
	if err != nil {
		return nil, fmt.Errorf("list zones: %w", err)
	}
	infos := make([]zone.Info, 0, len(names))
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("list zones: %w", err)
		}
		info, err := m.look(name)
		if err != nil {
			info = zone.Info{Name: name, State: zone.Unknown, Detail: err.Error()}
		}
		if info.State != zone.Absent {
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// names returns every name with the prefix that a zone may have, of which
// anything exists.
func (m *Manager) names() ([]string, error) {
	entries, err := os.ReadDir(m.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	add := func(name string) {
		if strings.HasPrefix(name, m.cfg.Prefix) && zone.ValidName(name) == nil {
			names = append(names, name)
		}
	}
	for _, e := range entries {
		add(e.Name())
	}
	if m.iso.cgroups != "" {
		groups, err := os.ReadDir(m.iso.cgroups)
		if err != nil {
			m.cfg.Log.Warn().Err(err).Msg("cannot list control groups")
		}
		for _, g := range groups {
			if name, ok := m.zoneOf(g.Name()); ok {
				add(name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Look implements zone.Manager.
func (m *Manager) Look(ctx context.Context, name string) (zone.Info, error) {
	err := ctx.Err()
	if err == nil {
		err = zone.ValidName(name)
	}
	if err != nil {
		return zone.Info{}, fmt.Errorf("look at zone: %w", err)
	}
	info, err := m.look(name)
	if err != nil {
		return zone.Info{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return info, nil
}

// look finds out a zone's state: first what its files make it, then whether
// processes of it are left, which counts for more.
func (m *Manager) look(name string) (zone.Info, error) {
	info := zone.Info{Name: name}
	root, err := m.open(name)
	var notDir *zonedir.NotDirError
	switch {
	case errors.As(err, &notDir):
		info.State, info.Detail = zone.Incomplete, err.Error()
	case err != nil:
		return info, err
	case root != nil:
		defer root.Close()
		if info.State, info.Detail, err = zonedir.State(root); err != nil {
			return info, err
		}
	}
	g := m.grip(name, root)
	if g.running {
		info.State, info.Detail = zone.Running, ""
		info.PID, info.Incarnation = g.boot.Init.PID, g.boot.Init.String()
		if root == nil {
			// The next agent would not find it running, so this one must not either.
			info.State, info.Detail = zone.Down, "its directory is gone and its processes are left"
		}
		return info, nil
	}
	rest, err := g.rest()
	if err != nil {
		return info, err
	}
	if rest != "" {
		info.State, info.Detail = zone.Down, rest
	} else if info.State == zone.Installed {
		info.Detail = serverEnd(root)
	}
	return info, nil
}

// serverEnd says how the server of the last boot ended, if that is on record.
func serverEnd(root *os.Root) string {
	exit, err := zonedir.Read(root, zonedir.ExitFile, zonedir.ParseExit)
	if err != nil {
		return ""
	}
	return "its server ended: " + exit.How
}

// open opens the zone's directory; nil without an error if there is none.
func (m *Manager) open(name string) (*os.Root, error) {
	root, err := zonedir.Open(m.dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return root, nil
}

// ServerFailed implements zone.Manager. There is nothing to give up: with its server a
// zone ends.
func (m *Manager) ServerFailed(context.Context, string) (why string, err error) { return "", nil }

// Tail implements zone.Manager. The log is there until Uninstall.
func (m *Manager) Tail(ctx context.Context, name string, max int) ([]byte, error) {
	err := ctx.Err()
	if err == nil {
		err = zone.ValidName(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read log of zone: %w", err)
	}
	root, err := zonedir.Open(m.dir, name)
	if err != nil {
		return nil, fmt.Errorf("read log of zone %s: %w", name, err)
	}
	defer root.Close()
	data, err := zonedir.Tail(root, int(min(int64(max), m.cfg.LogMax)))
	if err != nil {
		return nil, fmt.Errorf("read log of zone %s: %w", name, err)
	}
	return data, nil
}
