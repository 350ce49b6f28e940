package illumos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sledagent/sledagent/internal/command"
)

// mountTables are the mount tables by operating system: mnttab(5), proc_mounts(5).
// On other systems nothing counts as mounted.
var mountTables = map[string]string{"illumos": "/etc/mnttab", "linux": "/proc/self/mounts"}

// A mount is one line of the mount table.
type mount struct{ special, point, kind string }

// mounts returns the mounts at or below a path, in the order of mounting. A table
// without the root file system may lack others too, so it is an error. In a Linux
// chroot the table has no /, but it has /proc, from which it is read.
func (m *Manager) mounts(path string) ([]mount, error) {
	if m.mnttab == "" {
		return nil, nil
	}
	table, err := os.ReadFile(m.mnttab)
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	all := readMounts(string(table))
	if !slices.ContainsFunc(all, func(m mount) bool { return m.point == "/" || m.point == "/proc" }) {
		return nil, fmt.Errorf("read mount table: %s does not list /, so it may lack other mounts", m.mnttab)
	}
	return slices.DeleteFunc(all, func(m mount) bool { return m.point != path && !strings.HasPrefix(m.point, path+"/") }), nil
}

// readMounts parses a mount table. The first fields of a line are the mount's
// source, mount point and type, separated by tabs, or on Linux by spaces.
func readMounts(table string) []mount {
	var all []mount
	for line := range strings.Lines(table) {
		separator := "\t"
		if !strings.Contains(line, separator) {
			separator = " "
		}
		if f := strings.Split(line, separator); len(f) > 2 {
			all = append(all, mount{f[0], unescapeMount.Replace(f[1]), f[2]})
		}
	}
	return all
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// noMount returns an error that names the mounts at or below a path, except allowed
// ones.
func (m *Manager) noMount(path string, allowed func(mount) bool) error {
	mounts, err := m.mounts(path)
	if err != nil {
		return err
	}
	var points []string
	for _, mnt := range mounts {
		if !allowed(mnt) {
			points = append(points, mnt.point)
		}
	}
	if len(points) > 0 {
		return fmt.Errorf("%s is mounted, and files of other file systems are not removed", strings.Join(points, ", "))
	}
	return nil
}

// unmount unmounts what a halt left mounted below the root of a zone without
// processes, for example because zoneadmd died. zoneadm uninstall fails on some of
// these mounts, and deletes the content of others.
func (m *Manager) unmount(ctx context.Context, name string) error {
	root := filepath.Join(m.zonePath(name), "root")
	mounts, err := m.mounts(root)
	if err != nil {
		return err
	}
	slices.Reverse(mounts)
	for _, mnt := range mounts {
		if mnt.point == root {
			continue // the brand's dataset is allowed; noMount refuses any other
		}
		call := command.Call{Argv: []string{"umount", mnt.point}, For: name, Budget: quickBudget}
		if m.commands.Run(ctx, call) == nil {
			continue
		}
		// Processes of the host may have files open there.
		call.Argv = []string{"umount", "-f", mnt.point}
		if err := m.commands.Run(ctx, call); err != nil {
			return err
		}
	}
	return m.noMount(root, func(mnt mount) bool { return mnt.point == root && mnt.kind == "zfs" && ofZone(mnt.special, name) })
}

// ofZone reports whether a component of a dataset's name is the zone's name. Some
// brands mount such a dataset as the zone's root.
func ofZone(dataset, name string) bool {
	return slices.Contains(strings.Split(dataset, "/"), name)
}
