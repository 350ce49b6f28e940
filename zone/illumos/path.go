package illumos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/sledagent/sledagent/zone/illumos/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// removePath removes the zonepath that an uninstall has left, or an install that
// ended half-way: a dataset of its own, which zoneadm makes where the parent is
// one, or a directory with whatever is in it. Nobody uses it: the zone is
// configured at the most. The removal of files cannot be interrupted.
func (m *Manager) removePath(ctx context.Context, name string) error {
	path := m.zonePath(name)
	if gone(path) {
		return nil
	}
	if err := m.destroyDataset(ctx, name, path); err != nil {
		return err
	}
	if gone(path) {
		return nil
	}
	// Removing files goes through mounts, and what is mounted is not the zone's.
	mounts, err := m.mounts(path)
	if err != nil {
		return fmt.Errorf("remove zonepath: %w", err)
	}
	if len(mounts) > 0 {
		return fmt.Errorf("remove zonepath: %s is mounted", strings.Join(mounts, ", "))
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("remove zonepath: %w", err)
	}
	return nil
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// destroyDataset destroys the dataset that is mounted on the zonepath and on
// nothing else: zfs list names, for any path, the dataset that it lies in, which
// may be that of all zones.
func (m *Manager) destroyDataset(ctx context.Context, name, path string) error {
	if !m.commands.Has("zfs") {
		return nil
	}
	argv := []string{"zfs", "list", "-H", "-o", "name,mountpoint", path}
	out, err := m.commands.Output(ctx, command.Call{Argv: argv, For: name, Budget: quickBudget})
	if err != nil {
		if ctx.Err() != nil || command.Exit(err) <= 0 {
			return err
		}
		// Not on ZFS, most likely. If it is, the dataset is found to be mounted.
		m.cfg.Log.Debug().Err(err).Str("zone", name).Msg("zonepath is in no dataset that zfs can tell")
		return nil
	}
	dataset, mountpoint, ok := parse.Dataset(out)
	if !ok || mountpoint != path {
		return nil
	}
	err = m.commands.Run(ctx, command.Call{Argv: []string{"zfs", "destroy", "-r", dataset}, For: name, Budget: removeBudget})
	if err != nil && !gone(path) {
		return fmt.Errorf("destroy dataset %s: %w", dataset, err)
	}
	return nil
}
