//go:build !linux

package proc

import (
	"os"
	"syscall"
)

var systemSignals = []os.Signal{syscall.SIGEMT}
