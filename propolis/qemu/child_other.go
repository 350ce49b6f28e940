//go:build !linux

package qemu

import (
	"errors"
	"net"
	"os"
	"os/exec"
)

// A child is a QEMU that was started.
type child struct {
	qmp, console net.Conn
	words        *lastWords
	exited       chan struct{}
	how          string
}

var errNoLinux = errors.New("QEMU's guests need Linux, which ends QEMU when its server dies")

func startChild(_ string, _ []string, files []*os.File, _ *User) (*child, error) {
	closeAll(files)
	return nil, errNoLinux
}

func runTied(*exec.Cmd, *User) error { return errNoLinux }

func newMemFile() (*os.File, error) { return nil, errNoLinux }

func (t *tap) open() (*os.File, error) { return nil, errNoLinux }

func (c *child) kill()    {}
func (c *child) release() {}

func socketPair() (net.Conn, *os.File, error) {
	return nil, nil, errNoLinux
}
