package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/sledagent/sledagent/zone/process/internal/zoneinit"
)

// mainCalled keeps a program that never calls Main from starting itself as an
// init, which it would then not become: a test binary would run its tests
// again, and those would start it again.
var mainCalled atomic.Bool

// Main must be the first call in main, and in TestMain of tests that boot
// zones. If this process was started as a zone's init, it is one from here on
// and Main never returns; else Main does nothing.
func Main() {
	mainCalled.Store(true)
	if len(os.Args) == 2 && os.Args[0] == zoneinit.Arg0 {
		os.Exit(zoneinit.Run(os.Args[1]))
	}
}

// ownProgram returns how to run this program once more.
func ownProgram() (string, error) {
	if !mainCalled.Load() {
		return "", errors.New("process.Main was not called first in main")
	}
	if runtime.GOOS == "linux" {
		// Also right after the file was replaced by an upgrade.
		return "/proc/self/exe", nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return self, nil
}
