//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
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

func TestFindTasks(t *testing.T) {
	t.Parallel()
	const v1 = "35 31 0:32 / /cg/pids rw shared:7 - cgroup cgroup rw,pids\n36 31 0:33 / /cg/memory rw - cgroup cgroup rw,memory\n"
	for name, c := range map[string]struct{ mounts, self, want string }{
		"alone":     {v1, "9:memory:/m\n8:pids:/a:b\n0::/\n", "/cg/pids/a:b"},
		"together":  {"35 31 0:32 / /cg/x rw - cgroup cgroup rw,cpu,pids\n", "8:cpu,pids:/\n", "/cg/x"},
		"v2 alone":  {hybrid, "0::/a\n", ""},
		"unmounted": {hybrid, "8:pids:/a\n", ""},
		"outside":   {v1, "8:pids:/../a\n", ""},
	} {
		got, err := findTasks([]byte(c.mounts), []byte(c.self))
		if got != c.want || (err == nil) != (c.want != "") {
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
	// Without a hierarchy, the absence of a group proves nothing.
	if populated, err := Populated(dir); populated || !errors.Is(err, ErrNone) {
		t.Error(populated, err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
}

// A plain directory has no cgroup.kill and must not be taken for a group.
func TestMakeOutsideAHierarchy(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "group")
	if err := Make(dir, Limits{}); err == nil {
		t.Error("made a group of a plain directory")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}

// A service's groups can count tasks beside its own subgroup, but not in it.
func TestBaseOfADelegatedGroup(t *testing.T) {
	t.Parallel()
	own, err := Own()
	if err != nil {
		t.Skip(err)
	}
	service := filepath.Join(own, fmt.Sprintf("sled-test-service.%d", os.Getpid()))
	agent := filepath.Join(service, "agent")
	for _, dir := range []string{service, agent} {
		if err := Make(dir, Limits{}); err != nil {
			t.Skip(err)
		}
	}
	t.Cleanup(func() {
		if err := Remove(service); err != nil {
			t.Error(err)
		}
	})
	if got := Base(agent); got != agent {
		t.Errorf("without a delegation: %s", got)
	}
	if err := unix.Setxattr(service, "trusted.delegate", []byte("1"), 0); err != nil {
		t.Skip(err)
	}
	if got := Base(agent); got != service {
		t.Errorf("of a delegated group: %s", got)
	}
	cmd := exec.Command("sleep", "3600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	defer func() { _ = cmd.Process.Kill() }()
	if err := Enter(service, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if got := Base(agent); got != agent {
		t.Errorf("of a delegated group with a process: %s", got)
	}
}

// Groups can be nested deeper than a path can name.
func TestRemoveBeyondThePath(t *testing.T) {
	t.Parallel()
	own, err := Own()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(own, fmt.Sprintf("sled-test-deep.%d", os.Getpid()))
	if err := Make(dir, Limits{}); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := Remove(dir); err != nil {
			t.Error(err)
		}
	})
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		name := strings.Repeat("x", 100)
		if err := unix.Mkdirat(fd, name, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkdirat(fd, "beside", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		fd = next
	}
	unix.Close(fd)
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
}
