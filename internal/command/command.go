package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// A Set holds the programs found on a host. It is safe for concurrent use. Its exported
// fields must be set before the first run.
type Set struct {
	// Arg0, if set, is the programs' argv[0].
	Arg0 string
	// Env is the whole environment of the programs.
	Env []string
	// Places, if not nil, holds an element for each program that has not ended. Its
	// capacity bounds their number.
	Places chan struct{}
	// Kill sends SIGKILL to a process group, and Start starts a program. Tests replace
	// them to simulate programs that survive the one or hang in the other.
	Kill  func(pid int) error
	Start func(*exec.Cmd) error
	// KillGrace is how long a program that was sent SIGKILL may take to end. One that
	// takes longer is in an uninterruptible sleep in the kernel.
	KillGrace time.Duration
	// ReplaceAfter is the pause before the first stuck run is replaced.
	ReplaceAfter time.Duration

	paths map[string]string
	log   zerolog.Logger

	mu   sync.Mutex
	left map[string]map[*process]struct{} // by Call.For
}

// standardPath is where the scripts of brands expect the system's programs.
const standardPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// New returns a set of the programs at these paths, by name.
func New(paths map[string]string, log zerolog.Logger) *Set {
	return &Set{
		Kill:         func(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) },
		Start:        (*exec.Cmd).Start,
		KillGrace:    time.Second,
		ReplaceAfter: 2 * time.Second,
		paths:        paths,
		log:          log,
		left:         make(map[string]map[*process]struct{}),
	}
}

// Find looks programs up in path, directories separated by colons. All of required must
// exist; those of optional may be missing.
func Find(path string, required, optional []string, log zerolog.Logger) (*Set, error) {
	paths := make(map[string]string)
	var missing []string
	for _, name := range required {
		if paths[name] = find(path, name); paths[name] == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no %s in %s", strings.Join(missing, ", no "), path)
	}
	for _, name := range optional {
		paths[name] = find(path, name)
	}
	s := New(paths, log)
	// The agent's environment is not passed on: a zoneadm that inherits
	// _ZONEADM_LOCK_HELD takes no lock (illumos libzonecfg.c), and another locale
	// would translate the output that is parsed.
	s.Env = []string{"PATH=" + path + ":" + standardPath, "LC_ALL=C"}
	return s, nil
}

func find(path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		info, err := os.Stat(file)
		if err == nil && filepath.IsAbs(file) && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}

// Has reports whether an optional program was found.
func (s *Set) Has(name string) bool { return s.paths[name] != "" }

// A Call is one run of a program.
type Call struct {
	// Argv is the program's name without a directory, and its arguments.
	Argv []string
	// For is what the program runs for, such as a zone; empty for the host. Programs
	// left behind are counted separately for each.
	For string
	// Budget bounds the run in addition to the context; 0 means no bound.
	Budget time.Duration
	// MaxOutput bounds what is kept of each of its two streams, in bytes; 0 means
	// 1 MiB.
	MaxOutput int
	// Leave means that a program over budget is left running and not killed, because
	// its death would not end the operation.
	Leave bool
	// Single means that no further program runs for For while one is left behind.
	Single bool
	// Makes means that the program makes something that would be overlooked if it
	// appeared after a removal: see Making.
	Makes bool
}

func (c Call) String() string { return strings.Join(c.Argv, " ") }

func (c Call) failed(err error) error { return &Error{Argv: c.Argv, Err: err} }

// Run runs a program and returns an *Error if it does not exit with 0. It returns soon
// after the budget or ctx has ended, even if the program has not.
func (s *Set) Run(ctx context.Context, call Call) error {
	_, err := s.run(ctx, call)
	return err
}

// Output is Run and returns the standard output. More than MaxOutput of it is an error.
func (s *Set) Output(ctx context.Context, call Call) ([]byte, error) {
	out, _, err := s.Outputs(ctx, call)
	return out, err
}

// Outputs is Output and also returns the standard error of a program that exited with
// 0: some programs report there what they skipped.
func (s *Set) Outputs(ctx context.Context, call Call) (out []byte, warned string, err error) {
	p, err := s.run(ctx, call)
	if err != nil {
		return nil, "", err
	}
	out, whole := p.stdout.bytes()
	if !whole {
		return nil, "", call.failed(fmt.Errorf("it printed more than %d bytes", p.stdout.most))
	}
	return out, printed(&p.stderr), nil
}

// Capture is Run and returns the beginning of what the program has printed on its standard
// output and its standard error, also of one that has failed or is over its budget. More
// than MaxOutput of it is discarded and is no error.
func (s *Set) Capture(ctx context.Context, call Call) (out, warned []byte, err error) {
	p, err := s.run(ctx, call)
	if p == nil {
		return nil, nil, err
	}
	out, _ = p.stdout.bytes()
	warned, _ = p.stderr.bytes()
	return out, warned, err
}

func (s *Set) run(ctx context.Context, call Call) (*process, error) {
	if ctx.Err() != nil {
		return nil, call.failed(context.Cause(ctx))
	}
	path := s.paths[call.Argv[0]]
	if path == "" {
		return nil, call.failed(errors.New("there is no such command on this host"))
	}
	if call.Budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Budget)
		defer cancel()
	}
	if err := s.room(call); err != nil {
		return nil, err
	}
	if s.Places != nil {
		select {
		case s.Places <- struct{}{}:
		case <-ctx.Done():
			return nil, call.failed(fmt.Errorf("wait for one of %d programs to end, %d are stuck: %w",
				cap(s.Places), s.Count(), context.Cause(ctx)))
		}
	}
	p := s.start(path, call)
	select {
	case <-p.done:
		s.log.Debug().Str("command", call.String()).Dur("took", time.Since(p.begun)).AnErr("error", p.err()).Msg("command ended")
		return p, p.err()
	case <-ctx.Done():
		return p, s.overBudget(ctx, p)
	}
}

// overBudget ends a run whose time has elapsed.
func (s *Set) overBudget(ctx context.Context, p *process) error {
	cause := context.Cause(ctx)
	if p.call.Leave {
		return s.leave(p, cause)
	}
	s.end(p)
	timer := time.NewTimer(s.KillGrace)
	defer timer.Stop()
	select {
	case <-p.done:
		if p.startErr == nil && p.waitErr == nil {
			return nil // it had done its work before the signal came
		}
		return &Error{Argv: p.call.Argv, Stderr: p.said(), Err: fmt.Errorf("killed after %s: %w", p.age(), cause)}
	case <-timer.C:
		return s.leave(p, cause)
	}
}
