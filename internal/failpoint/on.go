//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Enabled reports whether Here does anything, for callers whose names are expensive to
// build.
const Enabled = true

var (
	name, nth = target(os.Getenv("SLED_AGENT_FAILPOINT"))
	list      = os.Getenv("SLED_AGENT_FAILPOINT_LIST")
	passes    atomic.Int64
)

func target(s string) (string, int64) {
	name, count, ok := strings.Cut(s, ":")
	if !ok {
		return name, 1
	}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("SLED_AGENT_FAILPOINT=%s: %v", s, err))
	}
	return name, n
}

// Here is a point at which a crash test may kill the process.
func Here(at string) {
	if list != "" {
		note(at)
	}
	if at == name && passes.Add(1) == nth {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {} // wait for the signal; nothing more may happen
	}
}

func note(at string) {
	f, err := os.OpenFile(list, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, at); err != nil {
		panic(err)
	}
}
