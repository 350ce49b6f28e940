package bhyve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxHelpers is how many helper processes there may be at a time, those that
// are abandoned included: enough for every VM of a sled to be freed at once
// without delay, since each takes milliseconds, and few enough to be a nuisance
// at worst.
const maxHelpers = 16

// killGrace is how long a killed helper process may take to end before it is
// abandoned. Outside of the kernel none takes that long.
const killGrace = time.Second

// budgets bound a helper process where its context does not.
var budgets = map[operation]time.Duration{
	opVersion:     5 * time.Second,
	opReservoir:   5 * time.Second,
	opDestroySelf: 10 * time.Second,
	opDestroyVM:   30 * time.Second,
	// Growing waits for free pages; a host under pressure takes minutes to find
	// a gigabyte.
	opResize: 10 * time.Minute,
}

// A request is what a helper process is to do.
type request struct {
	op   operation
	path string
	// vm is the VM it is about, if any.
	vm   string
	args []string
}

func (r request) String() string {
	return strings.Join(append([]string{string(r.op), r.path}, r.args...), " ")
}

// purpose is what no second helper process is started for while one is stuck.
func (r request) purpose() string {
	if r.vm != "" {
		return "VM " + r.vm
	}
	return string(r.op)
}

// helpers starts, bounds and counts helper processes.
type helpers struct {
	self  string
	grace time.Duration
	kill  func(pid int) error
	// slots has an element for each process that runs or is abandoned.
	slots chan struct{}

	mu        sync.Mutex
	abandoned map[int]string // purpose by pid
}

func newHelpers(self string) *helpers {
	return &helpers{
		self: self, grace: killGrace,
		kill:      func(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) },
		slots:     make(chan struct{}, maxHelpers),
		abandoned: make(map[int]string),
	}
}

// run has a request done by a helper process and returns its answer. It returns
// no later than killGrace after ctx or the operation's budget has ended.
func (h *helpers) run(ctx context.Context, r request) ([]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, budgets[r.op])
	defer cancel()
	if pid, is := h.isStuck(r.purpose()); is {
		return nil, fmt.Errorf("%s: %w: pid %d", r, ErrStuck, pid)
	}
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: wait for one of %d helper processes to end, %d are stuck: %w",
			r, maxHelpers, h.stuck(), context.Cause(ctx))
	}
	p, err := h.start(r)
	if err != nil {
		<-h.slots
		return nil, err
	}
	select {
	case <-p.ended:
		<-h.slots
		return p.answer(ctx)
	case <-ctx.Done():
	}
	return h.end(ctx, p)
}

// end kills a process that is over its budget and waits a moment for its end.
func (h *helpers) end(ctx context.Context, p *helperProcess) ([]uint64, error) {
	_ = h.kill(p.cmd.Process.Pid) // fails only for one that has ended
	select {
	case <-p.ended:
		<-h.slots
		return p.answer(ctx)
	case <-time.After(h.grace):
	}
	h.abandon(p)
	return nil, fmt.Errorf("%s: %w: pid %d survives SIGKILL: %w", p.request, ErrStuck, p.cmd.Process.Pid, context.Cause(ctx))
}

// abandon counts a process as stuck until it ends.
func (h *helpers) abandon(p *helperProcess) {
	purpose, pid := p.request.purpose(), p.cmd.Process.Pid
	h.mu.Lock()
	h.abandoned[pid] = purpose
	h.mu.Unlock()
	go func() {
		<-p.ended
		h.mu.Lock()
		delete(h.abandoned, pid)
		h.mu.Unlock()
		<-h.slots
	}()
}

func (h *helpers) isStuck(purpose string) (pid int, is bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for pid, other := range h.abandoned {
		if other == purpose {
			return pid, true
		}
	}
	return 0, false
}

func (h *helpers) stuck() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.abandoned)
}

// A helperProcess is one that was started. Once ended is closed, err and the
// outputs are complete.
type helperProcess struct {
	request     request
	cmd         *exec.Cmd
	out, errOut capped
	ended       chan struct{}
	err         error
}

func (h *helpers) start(r request) (*helperProcess, error) {
	self, err := h.program()
	if err != nil {
		return nil, err
	}
	p := &helperProcess{request: r, ended: make(chan struct{})}
	p.cmd = &exec.Cmd{
		Path: self,
		Args: append([]string{arg0, string(r.op), r.path}, r.args...),
		// The runtime's preemption signals would interrupt the ioctl, again and again.
		Env: []string{"GODEBUG=asyncpreemptoff=1"},
		Dir: "/", Stdout: &p.out, Stderr: &p.errOut,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		WaitDelay:   killGrace,
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start helper process: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// program returns how to run this program once more.
func (h *helpers) program() (string, error) {
	if h.self != "" {
		return h.self, nil
	}
	if !mainCalled.Load() {
		return "", errors.New("start helper process: bhyve.Main was not called first in main")
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find own executable: %w", err)
	}
	return self, nil
}

// answer returns what a process that has ended had to say.
func (p *helperProcess) answer(ctx context.Context) ([]uint64, error) {
	if p.out.Len() == 0 {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%s: %w", p.request, context.Cause(ctx))
		}
		return nil, fmt.Errorf("%s: helper process gave no answer: %v: %q", p.request, p.err, p.errOut.String())
	}
	values, err := readAnswer(p.out.String())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.request, err)
	}
	return values, nil
}

// capped keeps the first maxAnswer bytes that are written to it and drops the rest.
type capped struct {
	strings.Builder
}

func (c *capped) Write(b []byte) (int, error) {
	c.Builder.Write(b[:min(len(b), maxAnswer-c.Len())])
	return len(b), nil
}
