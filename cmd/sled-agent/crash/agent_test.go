package crash

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// An agent is one process of the program under test.
type agent struct {
	cmd *exec.Cmd
	// serving is closed when it says that it listens.
	serving chan struct{}
	// exited is closed once the process has ended; how and when are set then.
	exited chan struct{}
	how    *os.ProcessState
	when   time.Time

	mu  sync.Mutex
	log bytes.Buffer
}

// startAgent starts a program that is the agent, or that becomes it.
func startAgent(argv, env []string) (*agent, error) {
	a := &agent{cmd: exec.Command(argv[0], argv[1:]...), serving: make(chan struct{}), exited: make(chan struct{})}
	a.cmd.Env = append(os.Environ(), env...)
	stderr, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	a.cmd.Stderr = w
	err = a.cmd.Start()
	w.Close()
	if err != nil {
		stderr.Close()
		return nil, err
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		a.read(stderr)
	}()
	go func() {
		_ = a.cmd.Wait() // How it ended is in its state.
		a.how, a.when = a.cmd.ProcessState, time.Now()
		<-read
		close(a.exited)
	}()
	return a, nil
}

// read keeps the log and notices that the agent serves.
func (a *agent) read(stderr *os.File) {
	defer stderr.Close()
	serves := sync.OnceFunc(func() { close(a.serving) })
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		a.mu.Lock()
		a.log.Write(line)
		a.mu.Unlock()
		var said struct{ Addr string }
		if json.Unmarshal(line, &said) == nil && said.Addr != "" {
			serves()
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

func (a *agent) pid() int { return a.cmd.Process.Pid }

// crashed tells, of an agent that has ended, whether it was by SIGKILL.
func (a *agent) crashed() bool {
	status, ok := a.how.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

func (a *agent) running() bool {
	select {
	case <-a.exited:
		return false
	default:
		return true
	}
}
