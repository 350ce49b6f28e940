package illumos

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// errRemoved is what Create and Boot end with when a removal overtook them.
var errRemoved = errors.New("the zone is being removed")

// turns lets the calls that change a zone run one at a time. The host would do
// that too, by a lock that zoneadm waits for without limit (illumos
// libzonecfg.c); here the wait ends with its context.
type turns struct {
	mu      sync.Mutex
	entries map[string]*entry
}

// An entry is what the calls for one zone share. It exists while there are any.
type entry struct {
	calls int
	// turn holds one token; whoever has it may change the zone.
	turn chan struct{}
	// starts are the calls of Create and Boot, which a removal breaks off.
	starts map[*int]context.CancelCauseFunc
}

func (t *turns) enter(name string) *entry {
	e := t.entries[name]
	if e == nil {
		e = &entry{turn: make(chan struct{}, 1), starts: make(map[*int]context.CancelCauseFunc)}
		t.entries[name] = e
	}
	e.calls++
	return e
}

func (t *turns) leave(name string, e *entry) {
	e.calls--
	if e.calls == 0 {
		delete(t.entries, name)
	}
}

// breakOff ends every start of a zone that began earlier, whether it has its
// turn or waits for it.
func (t *turns) breakOff(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.entries[name]; e != nil {
		for _, end := range e.starts {
			end(errRemoved)
		}
	}
}

// start calls do in the zone's turn, with a context that a removal ends.
func (t *turns) start(ctx context.Context, name string, do func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	id := new(int)
	t.mu.Lock()
	e := t.enter(name)
	e.starts[id] = end
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(e.starts, id)
		t.leave(name, e)
	}()
	return e.take(ctx, do)
}

// remove calls do in the zone's turn, having broken off what makes the zone.
func (t *turns) remove(ctx context.Context, name string, do func(context.Context) error) error {
	t.breakOff(name)
	t.mu.Lock()
	e := t.enter(name)
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.leave(name, e)
	}()
	return e.take(ctx, do)
}

func (e *entry) take(ctx context.Context, do func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier call for the zone: %w", context.Cause(ctx))
	}
	defer func() { <-e.turn }()
	return do(ctx)
}
