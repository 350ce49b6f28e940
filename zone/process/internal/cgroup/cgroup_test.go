package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const hybrid = `22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 master:1 - cgroup2 cgroup2 rw
`

func TestFind(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ mounts, self, want string }{
		"hybrid":         {hybrid, "4:memory:/a\n0::/\n", "/sys/fs/cgroup/unified"},
		"below":          {hybrid, "0::/system.slice/sled agent.service\n", "/sys/fs/cgroup/unified/system.slice/sled agent.service"},
		"no v2 line":     {hybrid, "4:memory:/a\n", ""},
		"v1 only":        {"35 31 0:32 / /m rw - cgroup cgroup rw\n", "0::/\n", ""},
		"part of it":     {"41 31 0:38 /a /cg rw - cgroup2 none rw\n", "0::/a/b\n", "/cg/b"},
		"another part":   {"41 31 0:38 /a /cg rw - cgroup2 none rw\n", "0::/ab\n", ""},
		"second mount":   {"41 31 0:38 /x /x rw - cgroup2 none rw\n42 31 0:38 / /cg rw - cgroup2 none rw\n", "0::/a\n", "/cg/a"},
		"escaped":        {`41 31 0:38 / /a\040b\134c rw - cgroup2 none rw` + "\n", "0::/\n", `/a b\c`},
		"cgroup2 as tag": {"41 31 0:38 / /cg rw cgroup2 - tmpfs none rw\n", "0::/\n", ""},
		"outside":        {hybrid, "0::/../x\n", ""},
		"empty":          {"", "", ""},
	} {
		got, err := find([]byte(c.mounts), []byte(c.self))
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrNone) {
			t.Errorf("%s: %q, %v, want %q", name, got, err, c.want)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte(hybrid), []byte("0::/a\n"))
	f.Add([]byte("1 - - - - - - - cgroup2"), []byte("0::\n"))
	f.Fuzz(func(t *testing.T, mounts, self []byte) {
		dir, err := find(mounts, self)
		if err == nil && (!filepath.IsAbs(dir) || strings.Contains(dir, "/../")) {
			t.Errorf("found %q", dir)
		}
	})
}

func TestAbsentGroupIsNoGroup(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	if err := Kill(dir); err != nil {
		t.Error(err)
	}
	if populated, err := Populated(dir); populated || err != nil {
		t.Error(populated, err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
}

// A plain directory has no cgroup.kill: it must not be taken for a group.
func TestMakeOutsideAHierarchy(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "group")
	if err := Make(dir); err == nil {
		t.Error("made a group of a plain directory")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}
