package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/sledagent/sledagent/cmd/sled-agent/internal/trial"
)

// An agent is one process of the program under test.
type agent struct {
	cmd  *exec.Cmd
	addr string // where its API listens
	// exited is closed once the process has ended and its output was read.
	exited chan struct{}
	status int

	mu  sync.Mutex
	log bytes.Buffer
}

// startAgent starts the program and waits for nothing. The channel gets the
// address that it serves at. temp is where it may make temporary files.
func startAgent(t *testing.T, temp string, args ...string) (*agent, <-chan string) {
	t.Helper()
	a := &agent{cmd: exec.Command(trial.Path("sled-agent"), args...), exited: make(chan struct{})}
	a.cmd.Env = append(environment(), "TMPDIR="+temp)
	stderr, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	a.cmd.Stderr = w
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	addr := make(chan string, 1)
	go a.read(stderr, addr)
	go a.reap()
	return a, addr
}

// environment is the agent's own. The race detector's word is in the log at once;
// it need not wait for it at each exit.
func environment() []string { return append(os.Environ(), "GORACE=atexit_sleep_ms=0") }

// read keeps the log and reports the address when it comes by. It goes on when
// the agent has ended: zones have its standard error for as long as they run.
func (a *agent) read(stderr *os.File, addr chan<- string) {
	defer stderr.Close()
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		a.mu.Lock()
		a.log.Write(line)
		a.mu.Unlock()
		var said struct{ Addr string }
		if json.Unmarshal(line, &said) == nil && said.Addr != "" {
			select {
			case addr <- said.Addr:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (a *agent) reap() {
	err := a.cmd.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		a.status = ended.ExitCode()
	}
	close(a.exited)
}

func (a *agent) pid() int { return a.cmd.Process.Pid }

// said returns the log so far.
func (a *agent) said() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.String()
}

// kill ends the agent by SIGKILL, if it runs.
func (a *agent) kill() {
	_ = a.cmd.Process.Kill() // It may have ended.
	<-a.exited
}
