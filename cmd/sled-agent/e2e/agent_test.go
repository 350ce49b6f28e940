package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// An agent is one process of the program under test.
type agent struct {
	cmd *exec.Cmd
	// exited is closed once the process has ended; state is set then.
	exited chan struct{}
	state  *os.ProcessState
	// mayEnd is set once the test has ended the agent or expects its end.
	mayEnd atomic.Bool
	// logFile holds its standard error, unless the test has redirected that.
	logFile string
}

// environment is the environment of each agent. The race detector's report is logged at once, and
// it does not delay the agent's exit.
func environment(more ...string) []string {
	return append(append(os.Environ(), "GORACE=atexit_sleep_ms=0", "JOURNAL_STREAM="), more...)
}

// startAgent starts a program that is the agent, or that becomes it. Its standard error goes to
// logFile unless stderr is set.
func startAgent(stderr *os.File, logFile string, env []string, argv ...string) (*agent, error) {
	a := &agent{cmd: exec.Command(argv[0], argv[1:]...), exited: make(chan struct{}), logFile: logFile}
	if stderr == nil {
		f, err := os.Create(logFile)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stderr = f
	}
	a.cmd.Env, a.cmd.Stderr = environment(env...), stderr
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = a.cmd.Wait() // How it ended is in its state.
		a.state = a.cmd.ProcessState
		close(a.exited)
	}()
	return a, nil
}

func (a *agent) pid() int { return a.cmd.Process.Pid }

// log returns what the agent has written to standard error so far.
func (a *agent) log() string {
	text, _ := os.ReadFile(a.logFile) // There is none if the test has its own.
	return string(text)
}

func (a *agent) hasExited() bool {
	select {
	case <-a.exited:
		return true
	default:
		return false
	}
}

// killed reports whether the agent, which has exited, was killed by SIGKILL.
func (a *agent) killed() bool {
	status, ok := a.state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// runs fails the test if the agent has exited (X).
func (a *agent) runs(t testing.TB) {
	t.Helper()
	if a.hasExited() {
		t.Fatalf("the agent has exited: %v; its log:\n%s", a.state, a.log())
	}
}

// exitCode waits until the agent has exited and returns its exit code.
func (a *agent) exitCode(t testing.TB) int {
	t.Helper()
	a.mayEnd.Store(true)
	select {
	case <-a.exited:
	case <-time.After(waitLimit):
		t.Fatalf("the agent still runs; its log:\n%s", a.log())
	}
	return a.state.ExitCode()
}

func (a *agent) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	must(t, a.cmd.Process.Signal(sig))
}

// kill ends the agent by SIGKILL, if it runs.
func (a *agent) kill() {
	a.mayEnd.Store(true)
	_ = a.cmd.Process.Kill() // It may have exited.
	<-a.exited
}

// terminate ends the agent by SIGTERM and checks that it exits with 0.
func (a *agent) terminate(t testing.TB) {
	t.Helper()
	_ = a.cmd.Process.Signal(syscall.SIGTERM) // It may have just exited; its status shows that.
	if a.exitCode(t) != 0 {
		t.Errorf("after SIGTERM the agent exited with %v", a.state)
	}
}

// logs waits until the log has a line with all of these words.
func (a *agent) logs(t testing.TB, words ...string) {
	t.Helper()
	waitFor(t, func() string {
	lines:
		for line := range strings.Lines(a.log()) {
			for _, word := range words {
				if !strings.Contains(line, word) {
					continue lines
				}
			}
			return ""
		}
		return fmt.Sprintf("the log has no line with %q", words)
	})
}
