package process

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/sledagent/sledagent/zone/process/inits"
)

// mainCalled keeps a program that never calls Main from starting itself as an init.
// It would run its own main instead: a test binary would run its tests again, and
// those would start it again.
var mainCalled atomic.Bool

// Main must be the first call in main, and in TestMain of tests that boot zones. If
// this process was started as a zone's init, or as the helper that starts inits, Main
// runs that and never returns. Otherwise it does nothing.
func Main() {
	mainCalled.Store(true)
	inits.Main()
}

// ownExe is the program of the process that reads it, even after an upgrade has replaced the
// file.
const ownExe = "/proc/self/exe"

// ownProgram returns the path by which to run this program again.
func ownProgram() (string, error) {
	if !mainCalled.Load() {
		return "", errors.New("process.Main was not called first in main")
	}
	if runtime.GOOS == "linux" {
		return ownExe, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return self, nil
}
