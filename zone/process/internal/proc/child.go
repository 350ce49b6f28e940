package proc

import (
	"fmt"
	"os"
	"syscall"
)

// SocketPair returns the two ends of a socket between this process and a child to be
// started. Deadlines work on this process's end.
func SocketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make socket for child: %w", os.NewSyscallError("socketpair", err))
	}
	if err := syscall.SetNonblock(fds[0], true); err != nil {
		_ = syscall.Close(fds[0])
		_ = syscall.Close(fds[1])
		return nil, nil, fmt.Errorf("make socket for child: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "child"), os.NewFile(uintptr(fds[1]), "agent"), nil
}

// EndChild kills and reaps a child. No other code may wait for it.
func EndChild(pid int) {
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			return
		}
	}
}

// reapChild reaps a process that has ended, if it was a child.
func reapChild(pid int) End {
	var ws syscall.WaitStatus
	for {
		got, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil)
		if err != syscall.EINTR {
			return End{Child: err == nil && got == pid, Status: ws}
		}
	}
}
