package process

import (
	"context"
	"errors"
	"fmt"

	"github.com/sledagent/sledagent/zone"
)

// errRemoved is what Create and Boot end with when a removal overtook them.
var errRemoved = errors.New("the zone is being removed")

// An entry is what the calls for one zone share. It exists while there are any.
type entry struct {
	visits int
	// turn holds one token; whoever has it may change the zone.
	turn chan struct{}
	// starts are the calls of Create and Boot, which a removal breaks off.
	starts map[*visit]context.CancelCauseFunc
}

// A visit is one call for one zone.
type visit struct {
	m     *Manager
	name  string
	entry *entry
	// ctx is the caller's, ended early for a start that a removal overtook.
	ctx context.Context
}

// enter begins a call for a zone; leave ends it. A removal breaks off every
// start that began earlier, whether it has its turn or waits for it.
func (m *Manager) enter(ctx context.Context, name string, removal bool) (*visit, error) {
	if err := zone.ValidName(name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[name]
	if e == nil {
		e = &entry{turn: make(chan struct{}, 1), starts: make(map[*visit]context.CancelCauseFunc)}
		m.entries[name] = e
	}
	e.visits++
	v := &visit{m: m, name: name, entry: e, ctx: ctx}
	if !removal {
		v.ctx, e.starts[v] = context.WithCancelCause(ctx)
		return v, nil
	}
	for _, breakOff := range e.starts {
		breakOff(errRemoved)
	}
	return v, nil
}

func (v *visit) leave() {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	if end := v.entry.starts[v]; end != nil {
		end(nil)
		delete(v.entry.starts, v)
	}
	v.entry.visits--
	if v.entry.visits == 0 {
		delete(v.m.entries, v.name)
	}
}

// take waits for the zone's turn; give passes it on.
func (v *visit) take() error {
	if err := v.overtaken(); err != nil {
		return err
	}
	select {
	case v.entry.turn <- struct{}{}:
		return nil
	case <-v.ctx.Done():
		return fmt.Errorf("wait for an earlier call for the zone: %w", v.overtaken())
	}
}

func (v *visit) give() { <-v.entry.turn }

// overtaken returns why the call must not go on, if so: its context has ended,
// or a removal has begun.
func (v *visit) overtaken() error { return context.Cause(v.ctx) }

// exclusively calls do in the zone's turn.
func (m *Manager) exclusively(ctx context.Context, verb, name string, removal bool, do func(*visit) error) error {
	v, err := m.enter(ctx, name, removal)
	if err != nil {
		return fmt.Errorf("%s zone: %w", verb, err)
	}
	defer v.leave()
	if err := v.take(); err != nil {
		return fmt.Errorf("%s zone %s: %w", verb, name, err)
	}
	defer v.give()
	if err := do(v); err != nil {
		return fmt.Errorf("%s zone %s: %w", verb, name, err)
	}
	return nil
}
