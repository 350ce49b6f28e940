package proc

import (
	"os"
	"syscall"
)

var systemSignals = []os.Signal{syscall.SIGSTKFLT}
