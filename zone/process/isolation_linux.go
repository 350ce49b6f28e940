package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/process/internal/cgroup"
)

// probe finds the strongest isolation that the host grants. For each it tries to
// start a child whose program does not exist: the kernel reports that it refuses the
// isolation before it reports that the program is missing.
func probe(dir string) (isolation, error) {
	own, err := cgroup.Own()
	if err != nil && !errors.Is(err, cgroup.ErrNone) {
		return isolation{}, err
	}
	if own != "" {
		own = cgroup.Base(own)
		cgroup.CountTasks(own)
	}
	for _, iso := range []isolation{{true, own}, {true, ""}, {false, own}} {
		if iso == (isolation{}) {
			continue
		}
		granted, err := grants(iso, dir)
		if granted || err != nil {
			return iso, err
		}
	}
	return isolation{}, nil
}

// grants reports whether the host grants an isolation. A shortage of resources is an
// error and not a refusal: an isolation that is wrongly not used would make zones
// that have it invisible later.
func grants(iso isolation, dir string) (bool, error) {
	group := ""
	if iso.cgroups != "" {
		group = filepath.Join(iso.cgroups, fmt.Sprintf("%sprobe.%d", groupPrefix(dir), os.Getpid()))
		if err := cgroup.Make(group, cgroup.Limits{}); err != nil {
			return false, ifShort(err)
		}
		defer cgroup.Remove(group)
	}
	attr := &syscall.SysProcAttr{}
	if iso.pidns {
		attr.Cloneflags = syscall.CLONE_NEWPID
	}
	if group != "" {
		f, err := os.Open(group)
		if err != nil {
			return false, ifShort(err)
		}
		defer f.Close()
		attr.UseCgroupFD, attr.CgroupFD = true, int(f.Fd())
	}
	// In /proc, so that the lookup cannot stall on a file system.
	const none = "/proc/self/none"
	pid, err := syscall.ForkExec(none, []string{none}, &syscall.ProcAttr{Sys: attr})
	if err == nil {
		_, _ = syscall.Wait4(pid, nil, 0, nil)
	}
	if errors.Is(err, syscall.ENOENT) {
		return true, nil
	}
	return false, ifShort(err)
}

// ifShort returns the error if it means that the host is short of resources.
func ifShort(err error) error {
	if zone.IsShortage(err) {
		return fmt.Errorf("probe isolation: %w", err)
	}
	return nil
}

// probeTasks returns the directory of cgroup v1 in which groups that count tasks can
// be made; empty if there is none, or if zones' own groups count them.
func probeTasks(dir string, iso isolation) string {
	if iso.cgroups != "" && cgroup.LimitsTasks(iso.cgroups) {
		return ""
	}
	own, err := cgroup.OwnTasks()
	if err != nil {
		return ""
	}
	group := filepath.Join(own, fmt.Sprintf("%sprobe.%d", groupPrefix(dir), os.Getpid()))
	if err := cgroup.MakeTasks(group, 1); err != nil {
		return ""
	}
	defer cgroup.Remove(group)
	return own
}
