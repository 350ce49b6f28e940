package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/internal/plain"
	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// List implements zone.Manager. A zone that cannot be looked at is listed as
// Unknown, with the reason. A zone whose directory was removed is listed as long as
// its control group has processes.
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
			info = zone.Info{Name: name, State: zone.Unknown, Detail: plain.Line(err.Error(), maxDetail)}
		}
		if info.State != zone.Absent {
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// names returns the names of all zones of this agent of which a directory or a
// control group exists, and of recalled zones.
func (m *Manager) names() ([]string, error) {
	entries, err := os.ReadDir(m.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := m.recalls()
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
			return nil, fmt.Errorf("list control groups: %w", err)
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

func (m *Manager) recalls() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.recalled))
}

// Look implements zone.Manager.
func (m *Manager) Look(ctx context.Context, name string) (zone.Info, error) {
	return answer(ctx, "look at zone", name, func() (zone.Info, error) { return m.look(name) })
}

// answer is what read returns, with the question and the zone's name in its error. It has no
// value with an error.
func answer[T any](ctx context.Context, question, name string, read func() (T, error)) (T, error) {
	var none T
	err := ctx.Err()
	if err == nil {
		err = zone.ValidName(name)
	}
	if err != nil {
		return none, fmt.Errorf("%s: %w", question, err)
	}
	value, err := read()
	if err != nil {
		return none, fmt.Errorf("%s %s: %w", question, name, err)
	}
	return value, nil
}

// maxDetail bounds zone.Info.Detail in bytes, since parts of it may come from the
// zone.
const maxDetail = 1000

// look determines a zone's state: first from its files, then from its processes,
// which take precedence.
func (m *Manager) look(name string) (zone.Info, error) {
	info := zone.Info{Name: name}
	root, err := m.open(name)
	var notDir *zonedir.NotDirError
	switch {
	case err == nil && root == nil:
		info.State = zone.Absent
	case errors.As(err, &notDir):
		info.State, info.Detail = zone.Incomplete, err.Error()
	case err != nil:
		return info, err
	default:
		defer root.Close()
		if info.State, info.Detail, err = zonedir.State(root); err != nil {
			return info, err
		}
	}
	ps, err := m.processes(name, root)
	if err != nil {
		return info, err
	}
	switch {
	case ps.running:
		info.State, info.Detail = zone.Running, ""
		info.PID, info.Incarnation = ps.boot.Init.PID, ps.boot.Init.String()
		if root == nil {
			info.Detail = "its directory is gone"
		}
	case ps.rest != "" && root == nil:
		// Its record is gone with its directory, so it is unknown whether its server
		// is among them.
		return info, fmt.Errorf("its directory is gone, and %s", ps.rest)
	case ps.rest != "":
		info.State, info.Detail = zone.Down, ps.rest
	case info.State == zone.Installed:
		info.Detail = serverEnd(root)
	}
	info.Detail = plain.Line(info.Detail, maxDetail)
	return info, nil
}

// serverEnd describes how the server of the last boot ended, if that is recorded.
func serverEnd(root *os.Root) string {
	exit, err := zonedir.Read(root, zonedir.ExitFile, zonedir.ParseExit)
	if err != nil {
		return ""
	}
	return "its server ended: " + exit.How
}

// open opens the zone's directory. It returns nil and no error if there is none.
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

// ServerFailed implements zone.Manager. It never reports a failure, since a zone ends
// with its server.
func (m *Manager) ServerFailed(context.Context, string) (why string, err error) { return "", nil }

// Tail implements zone.Manager. The log exists until Uninstall. Control characters
// are replaced by question marks.
func (m *Manager) Tail(ctx context.Context, name string, max int) ([]byte, error) {
	return answer(ctx, "read log of zone", name, func() ([]byte, error) {
		root, err := zonedir.Open(m.dir, name)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		data, err := zonedir.Tail(root, int(min(int64(max), m.cfg.LogMax)))
		return []byte(plain.Text(string(data), len(data))), err
	})
}
