package spawner

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"

	"github.com/sledagent/sledagent/zone/process/internal/proc"
)

// Exit statuses of a helper, for people who see them in a log.
const (
	exitServed = 0
	exitBroken = 3
)

// Run runs a helper until its socket is closed. It returns the exit status.
func Run() int {
	syscall.CloseOnExec(socketFD)
	proc.CloseInherited(socketFD)
	runtime.GOMAXPROCS(1)
	_ = os.WriteFile("/proc/self/comm", []byte(Arg0), 0) // for lists of processes
	proc.OutliveSignals()
	socket := os.NewFile(socketFD, "agent")
	if socket == nil {
		return exitBroken
	}
	c, err := net.FileConn(socket)
	_ = socket.Close()
	conn, ok := c.(*net.UnixConn)
	if err != nil || !ok {
		return exitBroken
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return exitBroken
	}
	for {
		var request Request
		file, err := receive(conn, &request)
		if err != nil {
			return exitServed
		}
		answer := start(request, null, file)
		if file != nil {
			_ = file.Close()
		}
		if err := send(conn, answer, nil); err != nil {
			return exitServed
		}
	}
}

func start(r Request, null, socket *os.File) reply {
	if socket == nil {
		return reply{Errno: syscall.EBADF}
	}
	attr := &syscall.SysProcAttr{Setsid: true, Cloneflags: syscall.CLONE_PARENT}
	if r.PIDNS {
		attr.Cloneflags |= syscall.CLONE_NEWPID
	}
	pid, err := syscall.ForkExec(r.Path, r.Argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   r.Env,
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), socket.Fd()},
		Sys:   attr,
	})
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EINVAL
	}
	return reply{PID: pid, Errno: errno}
}
