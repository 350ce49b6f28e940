package command

import (
	"errors"
	"fmt"
	"time"
)

const (
	// maxOn bounds the runs of one command line that are left running (Call.Leave).
	// The second gets past a first that hung by chance; a third would wait behind it.
	maxOn = 2
	// maxStuck bounds the runs of any other command line that have survived SIGKILL.
	// Each is replaced after a pause that doubles: the next may not hang, and it is
	// often the only source of the host's state.
	maxStuck = 8
	// maxLeft bounds the programs left behind for one zone. Those with Call.Leave do
	// not count, and are not delayed by the others.
	maxLeft = 32
	// replaceMost bounds the pause before a run is replaced.
	replaceMost = 5 * time.Minute
)

// Errors that callers branch on.
var (
	// ErrLeft: the program did not end within its budget and runs on.
	ErrLeft = errors.New("it has not ended and was left to itself")
	// ErrTooMany: so many programs were left behind that no further one is started.
	ErrTooMany = errors.New("earlier runs have not ended")
)

// leave leaves a program behind. It is reaped when it ends, if it ever does.
func (s *Set) leave(p *process, cause error) error {
	s.mu.Lock()
	p.left = time.Now()
	if s.left[p.call.For] == nil {
		s.left[p.call.For] = make(map[*process]struct{})
	}
	s.left[p.call.For][p] = struct{}{}
	s.mu.Unlock()
	s.log.Warn().Str("command", p.call.String()).Int("pid", p.processID()).Dur("age", time.Since(p.begun)).
		Bool("killed", !p.call.Leave).Msg("command has not ended, going on without it")
	go func() {
		<-p.done
		s.log.Info().Str("command", p.call.String()).Int("pid", p.processID()).Dur("took", time.Since(p.begun)).
			AnErr("error", p.err()).Msg("command that was left behind has ended")
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.left[p.call.For], p)
		if len(s.left[p.call.For]) == 0 {
			delete(s.left, p.call.For)
		}
	}()
	return p.call.failed(fmt.Errorf("%w after %s: %w", ErrLeft, p.age(), cause))
}

// room returns an error if no further program may be started now.
func (s *Set) room(call Call) error {
	alike, others := 0, 0
	var last time.Time // when the last of them was left
	s.mu.Lock()
	for p := range s.left[call.For] {
		if !p.call.Leave {
			others++
		}
		if p.call.String() == call.String() {
			alike++
			if p.left.After(last) {
				last = p.left
			}
		}
	}
	s.mu.Unlock()
	var full bool
	switch {
	case call.Single:
		full = others > 0
	case call.Leave:
		full = alike >= maxOn
	default:
		full = alike >= maxStuck || others >= maxLeft || alike > 0 && time.Since(last) < min(s.ReplaceAfter<<(alike-1), replaceMost)
	}
	if full {
		return call.failed(fmt.Errorf("%w: %d of this command, %d in all", ErrTooMany, alike, others))
	}
	return nil
}

// Making returns an error while a program that makes something for a zone is left
// behind, since it may still make it.
func (s *Set) Making(zone string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.left[zone] {
		if p.call.Makes {
			return p.call.failed(fmt.Errorf("%w for %s", ErrLeft, p.age()))
		}
	}
	return nil
}

// A Left is a program that was left behind and has not ended.
type Left struct {
	Command string
	PID     int
	Since   time.Time
}

// Left returns the programs left behind for a zone.
func (s *Set) Left(zone string) []Left {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []Left
	for p := range s.left[zone] {
		left = append(left, Left{Command: p.call.String(), PID: p.processID(), Since: p.begun})
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
