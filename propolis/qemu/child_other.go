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

func startChild(string, []string) (*child, error) {
	return nil, errors.New("QEMU's guests need Linux, which ends QEMU when its server dies")
}

func runTied(*exec.Cmd) error { return errors.New("QEMU's guests need Linux") }

func (c *child) kill()    {}
func (c *child) release() {}

func socketPair() (net.Conn, *os.File, error) {
	return nil, nil, errors.New("QEMU's guests need Linux")
}
