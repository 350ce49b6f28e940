package process

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"

	"github.com/sledagent/sledagent/zone/process/internal/zonedir"
)

// An isolation is what this host grants to hold a zone's processes together.
type isolation struct {
	pidns bool
	// cgroups is the directory that zones' control groups are made in; empty
	// where there are none.
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

// loose tells whether nothing but the process tree holds a zone together.
func loose(b zonedir.Boot) bool { return !b.PIDNS && b.Cgroup == "" }

// groupPrefix begins the name of every control group of zones below dir: two
// agents may share a group and use the same zone names.
func groupPrefix(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "sled-" + hex.EncodeToString(sum[:4]) + "-"
}

// group returns where a zone's control group is made; empty if nowhere.
func (m *Manager) group(name string) string {
	if m.iso.cgroups == "" {
		return ""
	}
	return filepath.Join(m.iso.cgroups, groupPrefix(m.dir)+name)
}

// groups returns where a zone's control group may be: where this agent makes
// it, and where the record says that another one made it. A record that names
// anything but a group of this very zone is not believed.
func (m *Manager) groups(name string, b zonedir.Boot) []string {
	var dirs []string
	if own := m.group(name); own != "" {
		dirs = append(dirs, own)
	}
	recorded := b.Cgroup
	if recorded == m.group(name) || filepath.Clean(recorded) != recorded ||
		filepath.Base(recorded) != groupPrefix(m.dir)+name {
		return dirs
	}
	return append(dirs, recorded)
}

// zoneOf returns the zone whose control group has this name.
func (m *Manager) zoneOf(group string) (name string, ok bool) {
	return strings.CutPrefix(group, groupPrefix(m.dir))
}
