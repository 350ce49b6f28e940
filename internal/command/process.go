package command

import (
	"cmp"
	"errors"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// maxOutput is what is kept of each of a program's two streams unless the call
	// says otherwise. A list of a thousand zones is a sixth of it.
	maxOutput = 1 << 20
	// drainTime is how long the streams may stay open after the program has
	// ended, because a daemon that it started holds them.
	drainTime = 500 * time.Millisecond
)

// process is one run of a program.
type process struct {
	call           Call
	begun, left    time.Time
	stdout, stderr head
	// started is closed once the program is executed, with its pid. An exec waits
	// for the disk that the program is on.
	started chan struct{}
	pid     int
	// unwanted means that the program must be killed, even if it has yet to start.
	unwanted atomic.Bool
	// done is closed at its end, or when it could not be started.
	done              chan struct{}
	startErr, waitErr error // once done is closed
}

// processID is 0 until the program was started.
func (p *process) processID() int {
	select {
	case <-p.started:
		return p.pid
	default:
		return 0
	}
}

// start starts a program in a process group of its own, so that its children can be
// killed with it. Its working directory is one that never has to be unmounted.
func (s *Set) start(path string, call Call) *process {
	most := cmp.Or(call.MaxOutput, maxOutput)
	p := &process{call: call, begun: time.Now(), started: make(chan struct{}), done: make(chan struct{}),
		stdout: head{most: most}, stderr: head{most: most}}
	cmd := exec.Command(path, call.Argv[1:]...)
	cmd.Args[0] = cmp.Or(s.Arg0, path)
	cmd.Env, cmd.Dir = s.Env, "/"
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = drainTime
	go s.attend(p, cmd)
	return p
}

// attend starts a program and reaps it.
func (s *Set) attend(p *process, cmd *exec.Cmd) {
	defer close(p.done)
	if s.Places != nil {
		defer func() { <-s.Places }()
	}
	if p.startErr = s.Start(cmd); p.startErr != nil {
		return
	}
	p.pid = cmd.Process.Pid
	close(p.started)
	if p.unwanted.Load() {
		s.kill(p)
	}
	if err := cmd.Wait(); !errors.Is(err, exec.ErrWaitDelay) {
		p.waitErr = err
	}
}

// end sends a program SIGKILL, now or as soon as it has been started.
func (s *Set) end(p *process) {
	if !p.unwanted.CompareAndSwap(false, true) {
		return
	}
	select {
	case <-p.done:
		return
	default:
	}
	select {
	case <-p.started:
		s.kill(p)
	default: // attend looks when it has started it
	}
}

func (s *Set) kill(p *process) {
	// Until the child is reaped, its pid cannot be that of another group.
	if err := s.Kill(p.pid); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.log.Warn().Err(err).Str("command", p.call.String()).Msg("cannot kill command")
	}
}

func (p *process) age() time.Duration { return time.Since(p.begun).Round(time.Millisecond) }

// err returns the error of a program that has ended.
func (p *process) err() error {
	if p.startErr != nil {
		return p.call.failed(p.startErr)
	}
	if p.waitErr == nil {
		return nil
	}
	e := &Error{Argv: p.call.Argv, Stderr: p.said(), Err: p.waitErr}
	if exit, ok := errors.AsType[*exec.ExitError](p.waitErr); ok {
		e.Exit = exit.ExitCode()
	}
	return e
}

// said returns the program's message about its failure, which some programs print on
// standard output.
func (p *process) said() string {
	if text := printed(&p.stderr); text != "" {
		return text
	}
	return printed(&p.stdout)
}

// head keeps the beginning of what is written to it and discards the rest, so that the
// writer never blocks.
type head struct {
	most int

	mu   sync.Mutex
	data []byte
	lost bool
}

func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fits := min(len(b), h.most-len(h.data))
	h.data = append(h.data, b[:fits]...)
	h.lost = h.lost || fits < len(b)
	return len(b), nil
}

// bytes returns what was kept and whether it is complete.
func (h *head) bytes() (data []byte, whole bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]byte(nil), h.data...), !h.lost
}
