package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// termBudget is how long a program may take to end when it is told to.
	termBudget = 2 * time.Second
	// pipeBudget is how long a dead program's output is waited for, in case
	// that another process has inherited it.
	pipeBudget = 200 * time.Millisecond
	// tailLines is how much of a program's log an error quotes, and maxLine
	// where a line is cut.
	tailLines = 12
	maxLine   = 64 << 10
)

// findPrograms looks beside the running program, where the build leaves them.
func findPrograms(build string, names ...string) (map[string]string, error) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return nil, fmt.Errorf("find this program's directory: %w", err)
	}
	found := map[string]string{}
	for _, name := range names {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := exec.LookPath(path); err != nil {
			return nil, fmt.Errorf("the demo needs %s beside sledctl (`%s` puts it there): %w", name, build, err)
		}
		found[name] = path
	}
	return found, nil
}

// A child is a program that the demo has started. It is in a process group of
// its own, so that Ctrl-C on the terminal reaches the demo alone, which then
// ends everything in the right order.
type child struct {
	name   string
	cmd    *exec.Cmd
	log    *logReader
	exited chan struct{}
	err    error // set before exited is closed
}

func startChild(path string, args ...string) (*child, error) {
	c := &child{name: filepath.Base(path), log: newLogReader(), exited: make(chan struct{})}
	c.cmd = exec.Command(path, args...)
	c.cmd.Stderr = c.log
	c.cmd.WaitDelay = pipeBudget
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// says waits for the first line of the program's log that has such a key.
func (c *child) says(ctx context.Context, key string) (map[string]any, error) {
	for {
		line, more := c.log.find(key)
		if line != nil {
			return line, nil
		}
		select {
		case <-more:
		case <-c.exited:
			if line, _ := c.log.find(key); line != nil {
				return line, nil
			}
			return nil, fmt.Errorf("%s ended (%w); its last words:\n%s", c.name, errors.Join(c.err, errEnded), c.log.tail())
		case <-ctx.Done():
			return nil, fmt.Errorf("%s has not said where it serves: %w; its last words:\n%s", c.name, ctx.Err(), c.log.tail())
		}
	}
}

var errEnded = errors.New("too early")

// end tells the program to end, and kills it if it does not within its patience.
func (c *child) end(patience time.Duration) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself.
	kill := time.AfterFunc(patience, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	<-c.exited
}

// A logReader is a program's standard error: lines of JSON, of which it keeps
// the first that hold something and the last for an error message.
type logReader struct {
	mu    sync.Mutex
	part  []byte
	early []map[string]any
	last  []string
	more  chan struct{} // closed and replaced at every new line
}

func newLogReader() *logReader { return &logReader{more: make(chan struct{})} }

// maxEarly is how many lines are searched for where a program serves.
const maxEarly = 100

func (l *logReader) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, whole := bytes.Cut(l.part, []byte("\n"))
		if !whole {
			break
		}
		l.add(line)
		l.part = slices.Clone(rest)
	}
	if len(l.part) > maxLine {
		l.part = nil
	}
	return len(p), nil
}

func (l *logReader) add(line []byte) {
	l.last = append(l.last, string(line))
	if len(l.last) > tailLines {
		l.last = slices.Delete(l.last, 0, 1)
	}
	var fields map[string]any
	if len(l.early) < maxEarly && json.Unmarshal(line, &fields) == nil {
		l.early = append(l.early, fields)
	}
	close(l.more)
	l.more = make(chan struct{})
}

func (l *logReader) find(key string) (map[string]any, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fields := range l.early {
		if _, ok := fields[key]; ok {
			return fields, l.more
		}
	}
	return nil, l.more
}

func (l *logReader) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "  " + strings.Join(l.last, "\n  ")
}
