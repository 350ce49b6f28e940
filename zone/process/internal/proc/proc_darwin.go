package proc

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// stateZombie is SZOMB of <sys/proc.h>.
const stateZombie = 5

// Check returns nil: every macOS can do what the package needs.
func Check() error { return nil }

// Stat looks at one process. It fails with ErrGone if there is none.
func Stat(pid int) (Info, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	switch {
	case errors.Is(err, unix.ESRCH):
		return Info{}, ErrGone
	case errors.Is(err, unix.EIO):
		return absent(pid)
	case err != nil:
		return Info{}, fmt.Errorf("look at process %d: %w", pid, err)
	case int(k.Proc.P_pid) != pid:
		return Info{}, ErrGone
	}
	return info(k), nil
}

// absent checks that no process has the pid. The kernel then returns no data, which
// x/sys reports as EIO; but EIO may also be a real error.
func absent(pid int) (Info, error) {
	if err := unix.Kill(pid, 0); errors.Is(err, unix.ESRCH) {
		return Info{}, ErrGone
	}
	return Info{}, fmt.Errorf("look at process %d: %w", pid, unix.EIO)
}

// list looks at every process that is visible to this one.
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

// Args returns the command line of a process.
func Args(pid int) ([]string, error) {
	args, _, err := Started(pid, "")
	return args, err
}

// Started returns the command line of a process and the value of a variable in the
// environment it was started with, empty if it had none. The kernel provides both for
// this user's processes only; for others and for zombies it returns EINVAL.
func Started(pid int, key string) (args []string, value string, err error) {
	data, err := unix.SysctlRaw("kern.procargs2", pid)
	if err == nil {
		args, env, err := ParseProcArgs(data)
		return args, lookup(env, key), err
	}
	if info, serr := Stat(pid); errors.Is(serr, ErrGone) || serr == nil && info.Ended() {
		return nil, "", ErrGone
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w (%w)", ErrHidden, err)
	}
	return nil, "", fmt.Errorf("look at process %d: %w", pid, err)
}

// Users returns the real and the effective user of a process.
func Users(pid int) (real, effective int, err error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0, 0, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return int(k.Eproc.Pcred.P_ruid), int(k.Eproc.Ucred.Uid), nil
}

// Group returns nothing: macOS has no control groups.
func Group(int) (string, error) { return "", nil }

// Subreaper does nothing: macOS has no subreapers, orphans go to launchd.
func Subreaper() error { return nil }
