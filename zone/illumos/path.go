package illumos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sledagent/sledagent/internal/command"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// removePath removes the zonepath that an uninstall or a failed install left: a
// dataset, which zoneadm creates if the parent directory is a dataset's mount
// point, or a directory with its contents. The zone must be configured or absent,
// so that the path is not in use. Mounts below it are not the zone's: they are an
// error.
func (m *Manager) removePath(ctx context.Context, name string) error {
	path := m.zonePath(name)
	if notExist(path) {
		return nil
	}
	if err := m.noMount(path, func(mnt mount) bool { return mnt.point == path }); err != nil {
		return fmt.Errorf("remove zonepath: %w", err)
	}
	if err := m.destroyDataset(ctx, name, path); err != nil {
		return err
	}
	if notExist(path) {
		return nil
	}
	if err := m.noMount(path, func(mount) bool { return false }); err != nil {
		return fmt.Errorf("remove zonepath: %w", err)
	}
	if err := removeTree(ctx, path); err != nil {
		return fmt.Errorf("remove zonepath: %w", err)
	}
	return nil
}

func notExist(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// destroyDataset destroys the dataset that is mounted exactly on the zonepath. For
// any path, zfs list names the dataset that contains it, which may be the parent of
// all zones' datasets.
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
		// Most likely not on ZFS. If it is, removePath finds the dataset mounted.
		m.cfg.Log.Debug().Err(err).Str("zone", name).Msg("failed to find the dataset of zonepath")
		return nil
	}
	dataset, mountpoint, ok := parse.Dataset(out)
	if !ok || mountpoint != path {
		return nil
	}
	err = m.commands.Run(ctx, command.Call{Argv: []string{"zfs", "destroy", "-r", dataset}, For: name, Budget: removeBudget})
	if err != nil && !notExist(path) {
		return fmt.Errorf("destroy dataset %s: %w", dataset, err)
	}
	return nil
}
