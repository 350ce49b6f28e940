package process

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// An isolation is the set of means that hold a zone's processes together.
type isolation struct {
	pidns bool
	// cgroups is the directory in which zones' control groups are made; empty if
	// they have none.
	cgroups string
}

func (i isolation) String() string {
	switch {
	case i.pidns && i.cgroups != "":
		return "pid namespace and cgroup"
	case i.pidns:
		return "pid namespace"
	case i.cgroups != "":
		return "cgroup"
	default:
		return "session and process tree (best effort)"
	}
}

// groupPrefix begins the name of every control group of zones below dir. It depends
// on dir, since two agents may share a group and use the same zone names.
func groupPrefix(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "sled-" + hex.EncodeToString(sum[:4]) + "-"
}

// group returns the path of a zone's control group; empty if it gets none.
func (m *Manager) group(name string) string {
	if m.iso.cgroups == "" {
		return ""
	}
	return filepath.Join(m.iso.cgroups, groupPrefix(m.dir)+name)
}

// taskGroup returns the path of the v1 group that counts a zone's tasks; empty if it
// gets none.
func (m *Manager) taskGroup(name string) string {
	if m.tasks == "" {
		return ""
	}
	return filepath.Join(m.tasks, groupPrefix(m.dir)+name)
}

// makeGroups makes a zone's control groups with their limits and returns them.
func (m *Manager) makeGroups(name string) ([]string, error) {
	var made []string
	if group := m.group(name); group != "" {
		limits := cgroup.Limits{Tasks: m.cfg.MaxTasks, Depth: maxGroupDepth, Descendants: maxGroups}
		if err := cgroup.Make(group, limits); err != nil {
			return nil, err
		}
		made = append(made, group)
	}
	if group := m.taskGroup(name); group != "" {
		if err := cgroup.MakeTasks(group, m.cfg.MaxTasks); err != nil {
			return nil, err
		}
		made = append(made, group)
	}
	return made, nil
}

// countsTasks reports whether a control group limits a zone's tasks.
func (m *Manager) countsTasks() bool {
	return m.tasks != "" || m.iso.cgroups != "" && cgroup.LimitsTasks(m.iso.cgroups)
}

// Limits of the groups that a server may make below its zone's control group:
// enough to separate its own processes, and few to remove.
const (
	maxGroupDepth = 8
	maxGroups     = 256
)

// findGroups determines where a zone's control groups may be: where this agent makes
// them, and where the record says that an earlier agent made them. A recorded path is
// ignored unless it can be a group of this zone.
func (m *Manager) findGroups(ps *processes, root *os.Root) {
	find := func(own, recorded string) []string {
		var dirs []string
		if own != "" {
			dirs = append(dirs, own)
		}
		if recorded != own && filepath.Clean(recorded) == recorded && m.ownGroup(filepath.Base(recorded), ps.name, root, ps.boot) {
			dirs = append(dirs, recorded)
		}
		return dirs
	}
	ps.groups = find(m.group(ps.name), ps.boot.Cgroup)
	ps.tasks = find(m.taskGroup(ps.name), ps.boot.Tasks)
}

var groupPattern = regexp.MustCompile(`^sled-[0-9a-f]{8}-`)

// ownGroup reports whether a group of that name can be this zone's: made for the path
// of its directory, or for the path that the directory had when it was recorded.
func (m *Manager) ownGroup(group, name string, root *os.Root, b zonedir.Boot) bool {
	if group == groupPrefix(m.dir)+name {
		return true
	}
	prefix := groupPattern.FindString(group)
	if prefix == "" || group != prefix+name || root == nil {
		return false
	}
	id, err := zonedir.Identify(root)
	return err == nil && id == b.Dir
}

// zoneOf returns the zone whose control group has this name.
func (m *Manager) zoneOf(group string) (name string, ok bool) {
	return strings.CutPrefix(group, groupPrefix(m.dir))
}
