package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
)

// probe finds the strongest isolation that the host grants by asking for each:
// a child that is started with it and has no program to run. If the kernel
// refuses the isolation, it says so before it misses the program.
func probe(dir string) isolation {
	own, err := cgroup.Own()
	if err != nil {
		own = ""
	}
	for _, iso := range []isolation{{true, own}, {true, ""}, {false, own}} {
		if iso != (isolation{}) && grants(iso, dir) {
			return iso
		}
	}
	return isolation{}
}

func grants(iso isolation, dir string) bool {
	group := ""
	if iso.cgroups != "" {
		group = filepath.Join(iso.cgroups, fmt.Sprintf("%sprobe.%d", groupPrefix(dir), os.Getpid()))
		if err := cgroup.Make(group); err != nil {
			return false
		}
		defer cgroup.Remove(group)
	}
	attr, done, err := sysProcAttr(iso.pidns, group)
	if err != nil {
		return false
	}
	defer done()
	none := filepath.Join(dir, ".none", "probe")
	pid, err := syscall.ForkExec(none, []string{none}, &syscall.ProcAttr{Sys: attr})
	if err == nil {
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	return errors.Is(err, syscall.ENOENT)
}

// sysProcAttr says how a zone's init is started. done is called once it was.
func sysProcAttr(pidns bool, group string) (attr *syscall.SysProcAttr, done func(), err error) {
	attr = &syscall.SysProcAttr{Setsid: true}
	if pidns {
		attr.Cloneflags = syscall.CLONE_NEWPID
	}
	if group == "" {
		return attr, func() {}, nil
	}
	f, err := os.Open(group)
	if err != nil {
		return nil, nil, fmt.Errorf("open cgroup: %w", err)
	}
	attr.UseCgroupFD, attr.CgroupFD = true, int(f.Fd())
	return attr, func() { _ = f.Close() }, nil
}

// fork starts a zone's init and returns its pid and pidfd.
func fork(path string, argv []string, attr *syscall.ProcAttr) (pid, pidfd int, err error) {
	pidfd = -1
	attr.Sys.PidFD = &pidfd
	pid, err = syscall.ForkExec(path, argv, attr)
	return pid, pidfd, err
}
