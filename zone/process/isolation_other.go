//go:build !linux

package process

import "syscall"

func probe(string) isolation { return isolation{} }

func sysProcAttr(bool, string) (attr *syscall.SysProcAttr, done func(), err error) {
	return &syscall.SysProcAttr{Setsid: true}, func() {}, nil
}

func fork(path string, argv []string, attr *syscall.ProcAttr) (pid, pidfd int, err error) {
	pid, err = syscall.ForkExec(path, argv, attr)
	return pid, -1, err
}
