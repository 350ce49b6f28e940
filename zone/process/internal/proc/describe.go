package proc

import (
	"fmt"
	"strings"

	"github.com/sledagent/sledagent/internal/plain"
)

// maxCommand bounds a command line in a table of processes, in bytes.
const maxCommand = 4 << 10

// Table describes processes for people, one on each line. Those that have ended are left
// out.
func Table(pids []int) []byte {
	var out strings.Builder
	fmt.Fprintf(&out, "%8s %8s %s %7s %10s %10s %-16s %s\n", "PID", "PPID", "S", "THREADS", "RSS_KIB", "CPU_MS", "NAME", "COMMAND")
	for _, pid := range pids {
		p, err := Stat(pid)
		if err != nil {
			continue
		}
		args, err := Args(pid)
		command := plain.Line(strings.Join(args, " "), maxCommand)
		if err != nil {
			command = "(" + plain.Line(err.Error(), maxCommand) + ")"
		}
		fmt.Fprintf(&out, "%8d %8d %c %7d %10d %10d %-16s %s\n", p.PID, p.PPID, p.State, p.Threads, p.Resident>>10,
			p.CPU.Milliseconds(), plain.Line(p.Comm, 64), command)
	}
	return []byte(out.String())
}
