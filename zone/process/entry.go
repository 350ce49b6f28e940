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
	// removals counts the removal methods that were called.
	removals uint64
}

// A visit is one call for one zone.
type visit struct {
	m     *Manager
	name  string
	entry *entry
	// removals is what the entry's was when the call began.
	removals uint64
}

// enter begins a call for a zone; leave ends it. removal tells every call that
// began earlier that it was overtaken.
func (m *Manager) enter(name string, removal bool) (*visit, error) {
	if err := zone.ValidName(name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entries[name]
	if e == nil {
		e = &entry{turn: make(chan struct{}, 1)}
		m.entries[name] = e
	}
	e.visits++
	if removal {
		e.removals++
	}
	return &visit{m, name, e, e.removals}, nil
}

func (v *visit) leave() {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.entry.visits--
	if v.entry.visits == 0 {
		delete(v.m.entries, v.name)
	}
}

// take waits for the zone's turn; give passes it on.
func (v *visit) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case v.entry.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier call for the zone: %w", ctx.Err())
	}
}

func (v *visit) give() { <-v.entry.turn }

// current returns why the call must not go on, if so.
func (v *visit) current(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	return v.overtaken()
}

// overtaken is current for a caller that holds the manager's lock.
func (v *visit) overtaken() error {
	if v.entry.removals != v.removals {
		return errRemoved
	}
	return nil
}

// exclusively calls do in the zone's turn.
func (m *Manager) exclusively(ctx context.Context, verb, name string, removal bool, do func(*visit) error) error {
	v, err := m.enter(name, removal)
	if err != nil {
		return fmt.Errorf("%s zone: %w", verb, err)
	}
	defer v.leave()
	if err := v.take(ctx); err != nil {
		return fmt.Errorf("%s zone %s: %w", verb, name, err)
	}
	defer v.give()
	if err := do(v); err != nil {
		return fmt.Errorf("%s zone %s: %w", verb, name, err)
	}
	return nil
}
