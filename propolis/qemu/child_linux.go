package qemu

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// A child is a QEMU that was started.
type child struct {
	cmd *exec.Cmd
	// qmp and console are the other ends of the sockets that it has.
	qmp, console net.Conn
	words        *lastWords
	// exited is closed when it has ended; how says how.
	exited chan struct{}
	how    string
}

// startChild starts QEMU with the sockets and the files of a plan, which it closes here. QEMU is
// killed when this process ends, however that happens.
func startChild(program string, args []string, files []*os.File, u *User) (*child, error) {
	c := &child{cmd: exec.Command(program, args...), words: &lastWords{}, exited: make(chan struct{})}
	for _, conn := range []*net.Conn{&c.qmp, &c.console} {
		here, there, err := socketPair()
		if err != nil {
			c.release()
			closeAll(append(c.cmd.ExtraFiles, files...))
			return nil, err
		}
		*conn, c.cmd.ExtraFiles = here, append(c.cmd.ExtraFiles, there)
	}
	c.cmd.ExtraFiles = append(c.cmd.ExtraFiles, files...)
	c.cmd.Stderr, c.cmd.WaitDelay = c.words, time.Second
	c.cmd.SysProcAttr = tied(u)
	started := make(chan error, 1)
	go c.run(started)
	if err := <-started; err != nil {
		c.release()
		return nil, fmt.Errorf("start %s as %s: %w", program, u, err)
	}
	return c, nil
}

// tied makes the kernel kill QEMU when the thread that has started it ends. A terminal's signals
// are not for QEMU.
func tied(u *User) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: u.credential()}
}

// runTied runs QEMU to its end, or to that of this process.
func runTied(cmd *exec.Cmd, u *User) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = tied(u)
	return cmd.Run()
}

// run starts QEMU and waits for its end on one thread, to which it is tied.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	closeAll(c.cmd.ExtraFiles)
	started <- err
	if err != nil {
		return
	}
	_ = c.cmd.Wait() // How it ended is in its state.
	c.how = c.cmd.ProcessState.String()
	close(c.exited)
}

// kill ends QEMU at once, even a stopped one.
func (c *child) kill() { _ = c.cmd.Process.Kill() } // An error means that it has ended.

// release closes the sockets.
func (c *child) release() {
	for _, conn := range []net.Conn{c.qmp, c.console} {
		if conn != nil {
			conn.Close()
		}
	}
}

func socketPair() (here net.Conn, there *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make sockets for QEMU: %w", err)
	}
	ours := os.NewFile(uintptr(fds[0]), "qemu")
	defer ours.Close()
	there = os.NewFile(uintptr(fds[1]), "qemu")
	if here, err = net.FileConn(ours); err != nil {
		there.Close()
		return nil, nil, fmt.Errorf("make sockets for QEMU: %w", err)
	}
	return here, there, nil
}
