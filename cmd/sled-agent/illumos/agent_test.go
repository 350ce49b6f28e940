package illumos

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An agent is one process of the program under test.
type agent struct {
	cmd  *exec.Cmd
	addr string // where its API listens
	// exited is closed once the process has ended and its log was read.
	exited chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// startAgent starts the program and waits until it serves.
func startAgent(t *testing.T, config string) *agent {
	t.Helper()
	a := &agent{cmd: exec.Command(program("sled-agent"), "run", "--config", config), exited: make(chan struct{})}
	stderr, err := a.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr := make(chan string, 1)
	go func() {
		defer close(a.exited)
		a.read(bufio.NewReader(stderr), addr)
		_ = a.cmd.Wait() // ProcessState tells.
	}()
	select {
	case a.addr = <-addr:
	case <-a.exited:
		t.Fatalf("the agent ended at once, %v:\n%s", a.cmd.ProcessState, a.said())
	case <-time.After(patience):
		t.Fatal("the agent does not serve")
	}
	return a
}

// read keeps the log and reports the address when it comes by.
func (a *agent) read(lines *bufio.Reader, addr chan<- string) {
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

// said returns the log so far.
func (a *agent) said() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.log.String()
}

// end sends the agent a signal and waits until it has ended.
func (a *agent) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	_ = a.cmd.Process.Signal(sig) // It may have ended.
	select {
	case <-a.exited:
	case <-time.After(patience):
		t.Errorf("the agent has not ended %v after %v", patience, sig)
		_ = a.cmd.Process.Kill() // It may end this very moment.
		<-a.exited
	}
}
