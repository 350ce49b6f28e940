package command

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// maxOutput bounds what is kept of each of a program's two streams. The
	// longest, a list of a thousand zones, is a sixth of it.
	maxOutput = 1 << 20
	// maxSaid bounds what an error quotes.
	maxSaid = 2048
	// drainTime is how long the streams may stay open after the program has
	// ended, because a daemon that it started holds them.
	drainTime = 500 * time.Millisecond
)

// process is one program that was started.
type process struct {
	call           Call
	pid            int
	begun          time.Time
	stdout, stderr head
	done           chan struct{}
	waitErr        error // once done is closed
}

// start starts a program in a process group of its own, so that what it starts
// in turn can be killed with it. It belongs in no directory that somebody may
// want to unmount.
func (s *Set) start(call Call) (*process, error) {
	path := s.paths[call.Argv[0]]
	if path == "" {
		return nil, errors.New("there is no such command on this host")
	}
	p := &process{call: call, begun: time.Now(), done: make(chan struct{})}
	cmd := exec.Command(path, call.Argv[1:]...)
	cmd.Env, cmd.Dir = s.env, "/"
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = drainTime
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	go func() {
		defer close(p.done)
		if err := cmd.Wait(); !errors.Is(err, exec.ErrWaitDelay) {
			p.waitErr = err
		}
	}()
	return p, nil
}

func killGroup(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }

func (p *process) age() time.Duration { return time.Since(p.begun).Round(time.Millisecond) }

// err is how the program ended, once it has.
func (p *process) err() error {
	if p.waitErr == nil {
		return nil
	}
	e := &Error{Argv: p.call.Argv, Stderr: p.said(), Err: p.waitErr}
	var exit *exec.ExitError
	if errors.As(p.waitErr, &exit) {
		e.Exit = exit.ExitCode()
	}
	return e
}

// said is what the program said of its failure: some say it on standard output.
func (p *process) said() string {
	for _, stream := range []*head{&p.stderr, &p.stdout} {
		data, _ := stream.bytes()
		if text := strings.TrimSpace(string(data)); text != "" {
			if len(text) > maxSaid {
				text = text[:maxSaid/2] + " ... " + text[len(text)-maxSaid/2:]
			}
			return strings.ToValidUTF8(text, "?")
		}
	}
	return ""
}

// An Error is a run that did not do what it was to do.
type Error struct {
	Argv []string
	// Exit is the exit code; 0 if there is none, -1 if a signal ended it.
	Exit int
	// Stderr is what the program printed, shortened.
	Stderr string
	Err    error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %v", strings.Join(e.Argv, " "), e.Err)
	if e.Stderr != "" {
		text += ": " + strings.Join(strings.Fields(e.Stderr), " ")
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// Said tells whether err is of a program that printed one of these texts, in
// whatever case. Texts differ between releases, so they are hints.
func Said(err error, texts ...string) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	printed := strings.ToLower(e.Stderr)
	for _, text := range texts {
		if strings.Contains(printed, strings.ToLower(text)) {
			return true
		}
	}
	return false
}

// Exit returns the exit code that err carries; 0 if it is of another kind.
func Exit(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Exit
	}
	return 0
}

// head keeps the beginning of what is written to it and swallows the rest, so
// that the writer never blocks.
type head struct {
	mu   sync.Mutex
	data []byte
	lost bool
}

func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fits := min(len(b), maxOutput-len(h.data))
	h.data = append(h.data, b[:fits]...)
	h.lost = h.lost || fits < len(b)
	return len(b), nil
}

// bytes returns what was kept, and whether that is all.
func (h *head) bytes() (data []byte, whole bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]byte(nil), h.data...), !h.lost
}
