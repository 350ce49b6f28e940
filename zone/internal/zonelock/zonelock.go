// Package zonelock runs the calls that change one zone one at a time, in order of
// arrival, and lets a removal cancel the start of its zone. Zones do not wait for
// each other. Each wait ends with its context.
//
// What the calls do does not belong here.
package zonelock

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrRemoved is the error of a start that a removal canceled.
var ErrRemoved = errors.New("the zone is being removed")

// A Set holds the locks of all zones. It is safe for concurrent use. The zero value
// is usable.
type Set struct {
	mu    sync.Mutex
	locks map[string]*lock
}

// A lock is shared by the calls for one zone. It exists while there are any.
type lock struct {
	calls int
	// token is held by the call that may change the zone.
	token chan struct{}
	// starts are the calls of Start, which a removal cancels.
	starts map[*int]context.CancelCauseFunc
}

// Start calls do while it holds the zone's lock. A removal that begins later cancels
// the context with ErrRemoved, whether Start has the lock or waits for it.
func (s *Set) Start(ctx context.Context, name string, do func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	return s.hold(ctx, name, end, do)
}

// Remove cancels the zone's starts and calls do while it holds the zone's lock.
func (s *Set) Remove(ctx context.Context, name string, do func(context.Context) error) error {
	s.BreakOff(name)
	return s.hold(ctx, name, nil, do)
}

// BreakOff cancels every start of a zone that began earlier.
func (s *Set) BreakOff(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.locks[name]; l != nil {
		for _, end := range l.starts {
			end(ErrRemoved)
		}
	}
}

func (s *Set) hold(ctx context.Context, name string, end context.CancelCauseFunc, do func(context.Context) error) error {
	l, id := s.enter(name, end)
	defer s.leave(name, l, id)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case l.token <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier call for the zone: %w", context.Cause(ctx))
	}
	defer func() { <-l.token }()
	return do(ctx)
}

func (s *Set) enter(name string, end context.CancelCauseFunc) (*lock, *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locks[name]
	if l == nil {
		l = &lock{token: make(chan struct{}, 1), starts: make(map[*int]context.CancelCauseFunc)}
		if s.locks == nil {
			s.locks = make(map[string]*lock)
		}
		s.locks[name] = l
	}
	l.calls++
	id := new(int)
	if end != nil {
		l.starts[id] = end
	}
	return l, id
}

func (s *Set) leave(name string, l *lock, id *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(l.starts, id)
	if l.calls--; l.calls == 0 {
		delete(s.locks, name)
	}
}
