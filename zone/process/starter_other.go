//go:build !linux

package process

import (
	"context"
	"fmt"
	"os"
	"syscall"
)

// A starter starts zones' inits. It needs no helper processes here: on these systems
// no vfork blocks a thread of this process until the exec is over.
type starter struct{}

func newStarter(string) (starter, error) { return starter{}, nil }

func (starter) Close() {}

func (starter) start(_ context.Context, path string, argv, env []string, _ bool, socket *os.File) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("open init's streams: %w", err)
	}
	defer null.Close()
	return syscall.ForkExec(path, argv, &syscall.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd(), socket.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
}
