package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

const (
	// killGrace is how long a program that was sent SIGKILL may take to end. One
	// that takes longer is asleep in the kernel, where no signal reaches it.
	killGrace = time.Second
	// maxAlike is how many runs of one command line may be left behind, and
	// maxLeft how many programs of all kinds for one zone. The second of a kind
	// is there to get past a first that hung by chance; a third would hang too.
	maxAlike = 2
	maxLeft  = 8
)

// Errors that callers branch on.
var (
	// ErrLeft: the program did not end within its budget and runs on.
	ErrLeft = errors.New("it has not ended and was left to itself")
	// ErrTooMany: so many programs were left behind that no further one is started.
	ErrTooMany = errors.New("earlier runs have not ended")
)

// A Set is the programs that were found on a host. It is safe for concurrent use.
type Set struct {
	paths map[string]string
	env   []string
	log   zerolog.Logger
	// Kill sends SIGKILL to a process group. Tests of what survives it replace it
	// before the first run.
	Kill func(pid int) error

	mu   sync.Mutex
	left map[string]map[*process]struct{} // by Call.For
}

// standardPath is where the scripts of brands expect the system's programs.
const standardPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// Find looks programs up in path, directories separated by colons. Those of
// required must all be there, those of optional may be.
func Find(path string, required, optional []string, log zerolog.Logger) (*Set, error) {
	s := &Set{paths: make(map[string]string), log: log, Kill: killGroup, left: make(map[string]map[*process]struct{})}
	var missing []string
	for _, name := range required {
		if !s.find(path, name) {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("no %s in %s", strings.Join(missing, ", no "), path)
	}
	for _, name := range optional {
		s.find(path, name)
	}
	// Nothing of the agent's own environment is passed on: a zoneadm that
	// inherits _ZONEADM_LOCK_HELD takes no lock (illumos libzonecfg.c), and
	// another locale would translate what is parsed.
	s.env = []string{"PATH=" + path + ":" + standardPath, "LC_ALL=C"}
	return s, nil
}

func (s *Set) find(path, name string) bool {
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, name)
		if !filepath.IsAbs(file) {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			s.paths[name] = file
			return true
		}
	}
	return false
}

// Has tells whether an optional program was found.
func (s *Set) Has(name string) bool { return s.paths[name] != "" }

// A Call is one run of a program.
type Call struct {
	// Argv is the program's name without a directory, and its arguments.
	Argv []string
	// For is the zone on whose behalf the program runs; empty for the host's.
	// What is left behind for one zone does not count against another.
	For string
	// Budget bounds the run beside the context; 0 stands for none.
	Budget time.Duration
	// Leave says that a program that is over budget is left to end by itself and
	// not killed, because its death would not end the operation.
	Leave bool
	// Makes says that the program makes something that would be overlooked if it
	// came about after a removal: see Making.
	Makes bool
}

func (c Call) String() string { return strings.Join(c.Argv, " ") }

// Run runs a program and returns an *Error if it does not exit with 0. It
// returns soon after the budget or ctx has ended, whatever the program does.
func (s *Set) Run(ctx context.Context, call Call) error {
	_, err := s.run(ctx, call)
	return err
}

// Output is Run for a program whose whole standard output matters. More than
// 1 MiB of it is an error.
func (s *Set) Output(ctx context.Context, call Call) ([]byte, error) {
	p, err := s.run(ctx, call)
	if err != nil {
		return nil, err
	}
	out, whole := p.stdout.bytes()
	if !whole {
		return nil, &Error{Argv: call.Argv, Err: fmt.Errorf("it printed more than %d bytes", maxOutput)}
	}
	return out, nil
}

func (s *Set) run(ctx context.Context, call Call) (*process, error) {
	if err := ctx.Err(); err != nil {
		return nil, &Error{Argv: call.Argv, Err: context.Cause(ctx)}
	}
	if err := s.room(call); err != nil {
		return nil, err
	}
	if call.Budget > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Budget)
		defer cancel()
	}
	p, err := s.start(call)
	if err != nil {
		return nil, &Error{Argv: call.Argv, Err: err}
	}
	select {
	case <-p.done:
		s.log.Debug().Str("command", call.String()).Dur("took", time.Since(p.begun)).AnErr("error", p.err()).Msg("command ended")
		return p, p.err()
	case <-ctx.Done():
		return p, s.overBudget(ctx, p)
	}
}

// overBudget ends a run whose time is up.
func (s *Set) overBudget(ctx context.Context, p *process) error {
	cause := context.Cause(ctx)
	if p.call.Leave {
		return s.leave(p, cause)
	}
	// Until the child is reaped, its pid is that of its group and nobody else's.
	if err := s.Kill(p.pid); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.log.Warn().Err(err).Str("command", p.call.String()).Msg("cannot kill command")
	}
	timer := time.NewTimer(killGrace)
	defer timer.Stop()
	select {
	case <-p.done:
		if p.waitErr == nil {
			return nil // it had done its work before the signal came
		}
		return &Error{Argv: p.call.Argv, Stderr: p.said(), Err: fmt.Errorf("killed after %s: %w", p.age(), cause)}
	case <-timer.C:
		return s.leave(p, cause)
	}
}

// leave goes on without a program. It is reaped when it ends, if it ever does.
func (s *Set) leave(p *process, cause error) error {
	s.mu.Lock()
	if s.left[p.call.For] == nil {
		s.left[p.call.For] = make(map[*process]struct{})
	}
	s.left[p.call.For][p] = struct{}{}
	s.mu.Unlock()
	s.log.Warn().Str("command", p.call.String()).Int("pid", p.pid).Dur("age", time.Since(p.begun)).
		Bool("killed", !p.call.Leave).Msg("command has not ended, going on without it")
	go func() {
		<-p.done
		s.log.Info().Str("command", p.call.String()).Int("pid", p.pid).Dur("took", time.Since(p.begun)).
			AnErr("error", p.err()).Msg("command that was left behind has ended")
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.left[p.call.For], p)
		if len(s.left[p.call.For]) == 0 {
			delete(s.left, p.call.For)
		}
	}()
	return &Error{Argv: p.call.Argv, Err: fmt.Errorf("%w after %s: %w", ErrLeft, p.age(), cause)}
}

// room tells whether one more may be started.
func (s *Set) room(call Call) error {
	left := s.Left(call.For)
	alike := 0
	for _, l := range left {
		if l.Command == call.String() {
			alike++
		}
	}
	if alike >= maxAlike || len(left) >= maxLeft {
		return &Error{Argv: call.Argv, Err: fmt.Errorf("%w: %d of this command, %d in all", ErrTooMany, alike, len(left))}
	}
	return nil
}

// Making returns an error while a program that makes something for a zone was
// left behind: whatever is gone by now, it may yet come about.
func (s *Set) Making(zone string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.left[zone] {
		if p.call.Makes {
			return &Error{Argv: p.call.Argv, Err: fmt.Errorf("%w for %s", ErrLeft, p.age())}
		}
	}
	return nil
}

// A Left is one program that was left behind and has not ended.
type Left struct {
	Command string
	PID     int
	Since   time.Time
}

// Left returns what was left behind for a zone.
func (s *Set) Left(zone string) []Left {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []Left
	for p := range s.left[zone] {
		left = append(left, Left{Command: p.call.String(), PID: p.pid, Since: p.begun})
	}
	return left
}

// Count returns how many programs were left behind and have not ended.
func (s *Set) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, left := range s.left {
		n += len(left)
	}
	return n
}
