// Package flight lets concurrent callers share the result of an expensive call, which
// never begins before theirs. It does not cache results for later callers.
package flight

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A Group shares the results of Do. Callers get the result of a run that began after
// their call, so the current run and one more serve any number of callers.
type Group[T any] struct {
	// Do returns the result. Callers share it and must not change it.
	Do func() (T, error)
	// Patience is how long callers wait for the current run to end before the next one
	// begins, so that a run that hangs does not use up their time; 0 means without
	// limit. Most bounds the concurrent runs.
	Patience time.Duration
	Most     int

	mu      sync.Mutex
	running int
	next    *flight[T] // collects callers and has not begun; nil if no caller waits
}

// A flight is one run of Do. Its results are set once done is closed.
type flight[T any] struct {
	done   chan struct{}
	answer T
	err    error
}

// Get returns the result of a run that began after the call.
func (g *Group[T]) Get(ctx context.Context) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	f := g.join()
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		return none, fmt.Errorf("wait for an answer: %w", context.Cause(ctx))
	}
}

func (g *Group[T]) join() *flight[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.next; f != nil {
		return f
	}
	f := &flight[T]{done: make(chan struct{})}
	g.next = f
	if g.running == 0 {
		g.begin()
	} else if g.Patience > 0 {
		time.AfterFunc(g.Patience, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.next == f && g.running < g.Most {
				g.begin()
			}
		})
	}
	return f
}

// begin starts the next flight. g.mu is held.
func (g *Group[T]) begin() {
	f := g.next
	g.next = nil
	g.running++
	go func() {
		f.answer, f.err = g.Do()
		close(f.done)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.running--
		if g.next != nil {
			g.begin()
		}
	}()
}
