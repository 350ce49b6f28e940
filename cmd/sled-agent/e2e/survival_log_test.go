//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// spawnWith starts an agent with a standard error, which the test then no longer owns.
func (h *harness) spawnWith(stderr *os.File) *agent {
	h.t.Helper()
	h.stderr = stderr
	a := h.spawn()
	_ = stderr.Close()
	return a
}

// The reader of standard error exits during a stop. The agent keeps running and keeps the deadline, and its
// log goes to a file.
func TestReaderOfTheLogGoesAway(t *testing.T) {
	h := newProcessHarness(t, setup{})
	r, w, err := os.Pipe()
	must(t, err)
	h.serves(h.spawnWith(w))
	v := faults("hang-stop").launch(h)
	v.stop(longer)
	_ = r.Close()
	h.logSomething(5)
	v.gone()
	h.logSomething(1)
	if n := h.metric("sled_agent_log_lines_diverted_total"); n == 0 {
		t.Error("no line counts as diverted")
	}
	waitFor(t, func() string {
		text, err := os.ReadFile(h.state("sled-agent.log"))
		if err != nil || !strings.Contains(string(text), "phase changed") {
			return fmt.Sprintf("the file has %.300q, %v", text, err)
		}
		return ""
	})
}

// A new reader of a named pipe is informed of the missing lines.
func TestReaderOfTheLogComesBack(t *testing.T) {
	h := newProcessHarness(t, setup{})
	fifo := filepath.Join(h.dir, "stderr")
	must(t, unix.Mkfifo(fifo, 0o600))
	open := func(mode int) *os.File {
		f, err := os.OpenFile(fifo, mode, 0)
		must(t, err)
		return f
	}
	r := open(os.O_RDONLY | unix.O_NONBLOCK)
	h.serves(h.spawnWith(open(os.O_WRONLY)))
	_ = r.Close()
	h.logSomething(3)
	r = open(os.O_RDONLY | unix.O_NONBLOCK)
	defer r.Close()
	received := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if strings.Contains(lines.Text(), "log output recovered") {
				received <- lines.Text()
				return
			}
		}
	}()
	waitFor(t, func() string {
		h.logSomething(1)
		select {
		case line := <-received:
			if strings.Contains(line, `"diverted":0`) || !strings.Contains(line, "sled-agent.log") {
				t.Errorf("the new reader received: %s", line)
			}
			return ""
		default:
			return "the new reader has received nothing"
		}
	})
}

// Neither a full pipe as standard error nor a full disk disturbs the agent, and it exits in time.
func TestStandardErrorThatTakesNothing(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *os.File{"full pipe": fullPipe, "full disk": fullDisk} {
		t.Run(name, func(t *testing.T) {
			h := newProcessHarness(t, setup{})
			h.serves(h.spawnWith(open(t)))
			v := faults("hang-stop").launch(h)
			h.logSomething(50)
			v.stop(time.Second)
			v.gone()
		})
	}
}

// fullDisk returns a file that cannot be written to.
func fullDisk(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	return f
}

// A failed start exits even if its reason cannot be written.
func TestFailedStartExits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*harness)
		want   int
	}{
		"taken address":     {func(h *harness) { h.take(h.addr) }, 95},
		"bad configuration": {func(h *harness) { h.config["typo"] = 1 }, 96},
	} {
		t.Run(name, func(t *testing.T) {
			h := newProcessHarness(t, setup{})
			c.change(h)
			if code := h.spawnWith(fullPipe(t)).exitCode(t); code != c.want {
				t.Errorf("exit code %d, want %d", code, c.want)
			}
		})
	}
}

// Signals that end or stop other processes do not affect the agent, which logs that it has ignored them.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGVTALRM, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGXFSZ, syscall.SIGXCPU, syscall.SIGIO,
		syscall.SIGPWR, 40} {
		t.Run(unix.SignalName(sig)+fmt.Sprint(int(sig)), func(t *testing.T) {
			h := newProcessHarness(t, setup{})
			a := h.start()
			begun := time.Now()
			for range 50 {
				a.signal(t, sig)
			}
			most := 5 + int(time.Since(begun)/time.Second)
			switch sig {
			case syscall.SIGPIPE, syscall.SIGTTIN, syscall.SIGTTOU: // These are not logged.
			default:
				a.logs(t, "signal ignored", sig.String(), "SIGHUP reloads")
			}
			h.logSomething(1)
			a.runs(t)
			if n := strings.Count(a.log(), "signal ignored"); n > most {
				t.Errorf("50 signals are %d lines", n)
			}
		})
	}
}

// SIGQUIT makes the agent print the stacks of its goroutines and end.
func TestQuit(t *testing.T) {
	a := newProcessHarness(t, setup{}).start()
	a.signal(t, syscall.SIGQUIT)
	if code := a.exitCode(t); code != 2 {
		t.Errorf("exit code %d", code)
	}
	a.logs(t, "goroutine ")
}

// Signals that the agent survives have their usual effect in the servers of its VMs.
func TestServersAreNotMadeToIgnoreSignals(t *testing.T) {
	h := newProcessHarness(t, setup{})
	h.start()
	v := h.launch()
	server := 0
	for _, p := range processes(v.id.String()) {
		if strings.Contains(p.line, "propolis-sim run "+v.serverAddr.String()) {
			server = p.pid
		}
	}
	// Signals that were ignored when the tests started, as by make, are not the agent's doing.
	const tty = 1<<(syscall.SIGTTIN-1) | 1<<(syscall.SIGTTOU-1)
	if more := ignored(t, server) &^ ignored(t, os.Getpid()) &^ tty; more != 0 {
		t.Errorf("the VM's server ignores signals: %x", more)
	}
}

// ignored returns the mask of the signals that a process ignores.
func ignored(t *testing.T, pid int) (mask uint64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, text, _ := strings.Cut(string(status), "SigIgn:\t")
	_, err = fmt.Sscanf(text, "%x", &mask)
	must(t, err)
	return mask
}

// newProcessHarness is newHarness for a test of the agent's process: there is no Nexus, and the test starts
// the agent after changing the configuration.
func newProcessHarness(t *testing.T, s setup) *harness {
	t.Helper()
	onlyOnProcesses(t)
	s.standalone, s.manual = true, true
	return newHarness(t, s)
}

// logSomething makes the agent log some lines.
func (h *harness) logSomething(lines int) {
	h.t.Helper()
	for range lines {
		h.call("DELETE", "/vmms/"+uuid.NewString(), nil)
	}
}

// fullPipe returns the writing end of a full pipe.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err == nil {
		t.Cleanup(func() { _ = r.Close() })
		_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	}
	if err == nil {
		_, err = w.Write(make([]byte, 4096))
	}
	must(t, err)
	return w
}
