package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A process is identified by its pid and its start time, since pids are reused.
type process struct {
	pid   int
	start string // as the kernel formats it
	line  string // its command line
}

func (p process) kill() { _ = syscall.Kill(p.pid, syscall.SIGKILL) } // It may have ended.

// gone reports whether the process has ended.
func (p process) gone() bool {
	now, ok := statOf(p.pid)
	return !ok || now.state == "Z" || now.state == "X" || now.start != p.start
}

// processes returns those whose environment contains the mark: a zone's processes have its directory
// there, and an agent its test's. Without /proc it returns none.
func processes(mark string) (found []process) {
	own, text := os.Getpid(), make([]byte, 128<<10)
	for _, pid := range pids() {
		if pid == own || !bytes.Contains(read(pid, "environ", text), []byte(mark)) {
			continue
		}
		line := strings.ReplaceAll(string(read(pid, "cmdline", text)), "\x00", " ")
		if now, ok := statOf(pid); ok {
			found = append(found, process{pid, now.start, line})
		}
	}
	return found
}

// A stat is a part of /proc/<pid>/stat.
type stat struct{ text, state, parent, start string }

func statOf(pid int) (stat, bool) {
	text := string(read(pid, "stat", make([]byte, 4<<10)))
	// The name, in parentheses, may contain anything; the rest does not.
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return stat{}, false
	}
	return stat{text, fields[0], fields[1], fields[19]}, true
}

// children lists a process's children, including zombies, except for the helpers that start zones for an
// agent.
func children(parent int) (found []string) {
	for _, pid := range pids() {
		s, ok := statOf(pid)
		if ok && s.parent == strconv.Itoa(parent) && !strings.Contains(s.text, "(sled-spawner)") {
			found = append(found, "child "+s.text[:min(len(s.text), 60)])
		}
	}
	return found
}

// pids lists the ids of all processes.
func pids() (all []int) {
	for _, path := range entries("/proc") {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// read reads a file of /proc/<pid>, up to the size of room. All tests scan all processes constantly, so it
// makes only three system calls. For a process that has ended it returns nothing.
func read(pid int, file string, room []byte) []byte {
	fd, err := syscall.Open("/proc/"+strconv.Itoa(pid)+"/"+file, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
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

// statusField reads a number from /proc/<pid>/<file>, whose lines are "name: number"; 0 if there is none.
// Numbers in kB are converted to bytes.
func statusField(pid int, file, name string) (n int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name+":" {
			n, _ = strconv.Atoi(fields[1])
			if len(fields) > 2 {
				n <<= 10
			}
		}
	}
	return n
}

// skipWithoutProc skips a test on a system without /proc.
func skipWithoutProc(t testing.TB) {
	t.Helper()
	if _, ok := statOf(os.Getpid()); !ok {
		t.Skip("there is no /proc of Linux's kind")
	}
}

// leftovers lists the processes that contain the mark, a directory or an id, and the control groups named
// after it.
func leftovers(mark string) (left []string) {
	for _, p := range processes(mark) {
		left = append(left, fmt.Sprintf("process %d: %s", p.pid, p.line))
	}
	for _, dir := range cgroups(mark) {
		left = append(left, "control group "+dir)
	}
	return left
}

// groupParents are the control groups in which an agent started by this process may create its zones': its
// own, in each hierarchy, and the parent, if a service manager has delegated that.
var groupParents = sync.OnceValue(func() (dirs []string) {
	text, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/" + strings.TrimPrefix(fields[1], "name=")} {
			for dir := filepath.Join(root, fields[2]); strings.HasPrefix(dir, "/sys/fs/cgroup"); dir = filepath.Dir(dir) {
				if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
})

// cgroups lists the control groups whose name contains the mark. A process with an unreadable environment
// is still in one.
func cgroups(mark string) (found []string) {
	if strings.Contains(mark, "/") {
		return nil
	}
	for _, dir := range groupParents() {
		found = append(found, named(dir, mark)...)
	}
	return found
}

// entries lists a directory.
func entries(dir string) []string { return named(dir, "") }

// named lists the entries of a directory whose names contain the mark.
func named(dir, mark string) (found []string) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil // to open a pipe would block
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1) // partial results suffice
	for _, name := range names {
		if strings.Contains(name, mark) {
			found = append(found, filepath.Join(dir, name))
		}
	}
	return found
}

// A usage is the agent's use of resources.
type usage struct {
	memory, peak            int // in bytes, now and the maximum so far
	descriptors, goroutines int
	log                     int // bytes
}

func (h *harness) usage() usage {
	h.t.Helper()
	a := h.agent()
	log, err := os.Stat(a.logFile)
	must(h.t, err)
	return usage{statusField(a.pid(), "status", "RssAnon"), statusField(a.pid(), "status", "VmHWM"), descriptors(a.pid()),
		h.metric("go_goroutines"), int(log.Size())}
}

// descriptors counts the open descriptors of a process; 0 without /proc.
func descriptors(pid int) int { return len(entries(fmt.Sprintf("/proc/%d/fd", pid))) }

// or returns the maximum of each value.
func (u usage) or(o usage) usage {
	return usage{max(u.memory, o.memory), max(u.peak, o.peak), max(u.descriptors, o.descriptors), max(u.goroutines, o.goroutines),
		max(u.log, o.log)}
}

// bounds checks that no value has grown much.
func (u usage) bounds(t *testing.T, now usage) {
	t.Helper()
	t.Logf("usage %+v; before it was %+v", now, u)
	memory := 48 << 20
	if raceDetector() {
		memory *= 4
	}
	if now.memory > u.memory+memory || now.descriptors > u.descriptors+24 || now.goroutines > u.goroutines+40 ||
		now.log > u.log+256<<10 {
		t.Errorf("the agent takes too much")
	}
}

// metric reads one of the agent's metrics from its admin socket.
func (h *harness) metric(name string) (n int) {
	h.t.Helper()
	client := &http.Client{Timeout: waitLimit, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", h.state("admin.sock"))
		}}}
	waitFor(h.t, func() string {
		got, err := client.Get("http://admin/metrics")
		if err != nil {
			return err.Error()
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
				must(h.t, err)
				n = int(f)
				return ""
			}
		}
		return fmt.Sprintf("there is no metric %s, but %s, %v: %.300s", name, got.Status, err, text)
	})
	return n
}
