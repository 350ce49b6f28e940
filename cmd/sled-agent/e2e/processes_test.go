package e2e

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A process is one that was found by what it carries of a zone.
type process struct {
	pid  int
	line string // its command line, for people
}

// processes returns those whose environment mentions the mark: that of a zone's
// processes names its directory, and that of an agent its test's. Without a /proc
// there are none to be seen.
func processes(mark string) (found []process) {
	own, text := strconv.Itoa(os.Getpid()), make([]byte, 128<<10)
	for _, pid := range pids() {
		if pid == own || !bytes.Contains(slurp("/proc/"+pid+"/environ", text), []byte(mark)) {
			continue
		}
		line := slurp("/proc/"+pid+"/cmdline", text)
		n, _ := strconv.Atoi(pid) // It is a number.
		found = append(found, process{n, strings.ReplaceAll(string(line), "\x00", " ")})
	}
	return found
}

// children lists the child processes of one, zombies too.
func children(parent int) (found []string) {
	text := make([]byte, 4<<10)
	for _, pid := range pids() {
		stat := slurp("/proc/"+pid+"/stat", text)
		// The name, in parentheses, may hold anything; what follows it does not.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) > 1 && string(fields[1]) == strconv.Itoa(parent) {
			found = append(found, fmt.Sprintf("child %s", stat[:min(len(stat), 60)]))
		}
	}
	return found
}

// pids lists the ids of all processes.
func pids() []string {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // What there is of it.
	all := names[:0]
	for _, name := range names {
		if name[0] >= '1' && name[0] <= '9' {
			all = append(all, name)
		}
	}
	return all
}

// slurp reads a file of /proc, or as much of it as there is room for. All tests
// look through all processes all the time, so it takes three system calls and no
// more. A process that is gone has nothing.
func slurp(path string, room []byte) []byte {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	n, err := syscall.Read(fd, room)
	if err != nil {
		return nil
	}
	return room[:n]
}

// sees skips a test that has to see processes where they are not to be seen.
func sees(t *testing.T) {
	t.Helper()
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("there is no /proc to see processes in")
	}
}

// killLeftovers ends what a failed test's agent has left running.
func killLeftovers(dir string) {
	for _, p := range processes(dir) {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // It may end by itself.
	}
}
