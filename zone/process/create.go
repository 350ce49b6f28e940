package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// Create implements zone.Manager. This backend makes no datalinks: the names in Made
// are placeholders by position, for specifications that need some. Servers use the
// host's own addresses.
func (m *Manager) Create(ctx context.Context, spec zone.Spec) (zone.Made, error) {
	links := make(map[string]string, len(spec.NICs))
	for i, nic := range spec.NICs {
		links[nic.ID] = fmt.Sprintf("vnic%d", i)
	}
	err := m.start(ctx, "create", spec.Name, func(ctx context.Context) error {
		if !strings.HasPrefix(spec.Name, m.cfg.Prefix) {
			return fmt.Errorf("its name does not begin with %q", m.cfg.Prefix)
		}
		return m.install(ctx, zonedir.Config{Spec: spec, Links: links})
	})
	if err != nil {
		return zone.Made{}, err
	}
	return zone.Made{Links: links, Path: m.zoneDir(spec.Name)}, nil
}

// install makes the zone's directory. The root, which makes the zone Installed, is
// made last.
func (m *Manager) install(ctx context.Context, cfg zonedir.Config) error {
	info, err := m.look(cfg.Spec.Name)
	if err != nil {
		return fmt.Errorf("%w: %w", zone.ErrUnsure, err)
	}
	if info.State != zone.Absent {
		return fmt.Errorf("%w, %v", zone.ErrExists, info.State)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(m.zoneDir(cfg.Spec.Name), 0o700); errors.Is(err, fs.ErrExist) {
		return zone.ErrExists
	} else if err != nil {
		return err
	}
	root, err := zonedir.Open(m.dir, cfg.Spec.Name)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, step := range []func() error{
		func() error { return zonedir.Write(root, zonedir.ConfigFile, cfg) },
		func() error { return root.Mkdir(zonedir.LogDir, 0o700) },
		func() error { return root.Mkdir(zonedir.RootDir, 0o700) },
	} {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
