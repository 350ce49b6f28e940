package proc

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// stateZombie is SZOMB of <sys/proc.h>.
const stateZombie = 5

// Check returns nil: every macOS can do what the package needs.
func Check() error { return nil }

// BootID names this boot of the host.
func BootID() (string, error) {
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", fmt.Errorf("read boot time: %w", err)
	}
	return strconv.FormatInt(tv.Sec, 10), nil
}

// Stat looks at one process. It fails with ErrGone if there is none.
func Stat(pid int) (Info, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	switch {
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EIO):
		return Info{}, ErrGone // the kernel answers nothing for a pid that nobody has
	case err != nil:
		return Info{}, fmt.Errorf("look at process %d: %w", pid, err)
	case int(k.Proc.P_pid) != pid:
		return Info{}, ErrGone
	}
	return info(k), nil
}

// list looks at every process that this one may see.
func list() ([]Info, error) {
	procs, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	infos := make([]Info, 0, len(procs))
	for i := range procs {
		infos = append(infos, info(&procs[i]))
	}
	return infos, nil
}

func info(k *unix.KinfoProc) Info {
	comm, _, _ := bytes.Cut(k.Proc.P_comm[:], []byte{0})
	i := Info{
		ID:    ID{PID: int(k.Proc.P_pid), Start: startOf(k)},
		PPID:  int(k.Eproc.Ppid),
		Comm:  string(comm),
		State: 'R',
	}
	if k.Proc.P_stat == stateZombie {
		i.State = 'Z'
		return i
	}
	if sid, err := unix.Getsid(i.PID); err == nil {
		i.Session = sid
	}
	return i
}

func startOf(k *unix.KinfoProc) uint64 {
	tv := k.Proc.P_starttime
	return uint64(tv.Sec)*1e6 + uint64(tv.Usec)
}

// HasEnv is always false: macOS shows no other process's environment.
func HasEnv(int, string) bool { return false }

// HasArgs is always false: the command line is not needed to find anything here.
func HasArgs(int, ...string) bool { return false }

// Subreaper does nothing: macOS has no such thing, orphans go to launchd.
func Subreaper() error { return nil }
