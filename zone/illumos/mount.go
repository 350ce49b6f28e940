package illumos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/zone/illumos/internal/command"
)

// mnttabFile lists what is mounted on the host (mnttab(5)). Other systems have
// none; there nothing counts as mounted.
const mnttabFile = "/etc/mnttab"

// mounts returns what is mounted at or below a path, in the order of mounting.
func (m *Manager) mounts(path string) ([]string, error) {
	table, err := os.ReadFile(m.mnttab)
	if errors.Is(err, fs.ErrNotExist) && runtime.GOOS != "illumos" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is mounted: %w", err)
	}
	return mountedIn(string(table), path), nil
}

// mountedIn reads a mount table: a line for each mount, with the mount point in
// the second of its fields between tabs.
func mountedIn(table, path string) []string {
	var points []string
	for line := range strings.Lines(table) {
		fields := strings.Split(line, "\t")
		if len(fields) > 1 && (fields[1] == path || strings.HasPrefix(fields[1], path+"/")) {
			points = append(points, fields[1])
		}
	}
	return points
}

// unmount unmounts what a halt has left below the root of a zone that has no
// processes, such as a halt whose zoneadmd died. zoneadm uninstall refuses to
// work around it.
func (m *Manager) unmount(ctx context.Context, name string) error {
	root := filepath.Join(m.zonePath(name), "root")
	mounts, err := m.mounts(root)
	if err != nil {
		return err
	}
	slices.Reverse(mounts)
	for _, point := range mounts {
		if point == root {
			continue // the brand's own
		}
		call := command.Call{Argv: []string{"umount", point}, For: name, Budget: quickBudget}
		if m.commands.Run(ctx, call) == nil {
			continue
		}
		// Processes of the host may have files open there.
		call.Argv = []string{"umount", "-f", point}
		if err := m.commands.Run(ctx, call); err != nil {
			return err
		}
	}
	return nil
}
