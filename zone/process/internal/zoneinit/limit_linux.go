package zoneinit

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reserve is how many of its user's processes and threads a server cannot use, so that
// the agent and others can.
const reserve = 1024

// limitTasks keeps a server from using up all processes of its user if no control
// group limits those of its zone. The kernel counts all of a user's processes together
// and does not limit root's (setrlimit(2)). So this limits all zones of an unprivileged
// agent together, and root's zones not at all. It is set for the server only, since an
// init that cannot start a thread ends. It is best effort: errors are ignored.
func limitTasks(server int) {
	var now unix.Rlimit
	if os.Geteuid() == 0 || unix.Getrlimit(unix.RLIMIT_NPROC, &now) != nil {
		return
	}
	most := tasksBelow(min(now.Max, readMax("pid_max"), readMax("threads-max")))
	if most < now.Cur {
		_ = unix.Prlimit(server, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: most, Max: most}, nil)
	}
}

// tasksBelow returns all less the reserve, but at least three quarters of all.
func tasksBelow(all uint64) uint64 {
	return max(all-min(all, reserve), all/4*3)
}

func readMax(name string) uint64 {
	text, err := os.ReadFile("/proc/sys/kernel/" + name)
	if err != nil {
		return unix.RLIM_INFINITY
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return unix.RLIM_INFINITY
	}
	return n
}
