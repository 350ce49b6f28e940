package demo

import (
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
)

// A board collects the facts. Its methods are safe for concurrent use.
type board struct {
	mu    sync.Mutex
	facts []facts
	// changed holds one token when something was noted since it was last taken.
	changed chan struct{}
}

func newBoard(roles []role) *board {
	b := &board{changed: make(chan struct{}, 1)}
	for _, r := range roles {
		b.facts = append(b.facts, facts{role: r, id: uuid.New()})
	}
	return b
}

// note changes what is known of one VMM; one that is not on the board is ignored.
func (b *board) note(id uuid.UUID, change func(*facts)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.facts, func(f facts) bool { return f.id == id }); i >= 0 {
		change(&b.facts[i])
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// noteEvent adds an event. Lost ones might have been any VMM's, so they count
// for all.
func (b *board) noteEvent(e admin.NamedEvent) {
	b.mu.Lock()
	for i := range b.facts {
		b.facts[i].lost += e.Lost
	}
	b.mu.Unlock()
	b.note(e.VMM, func(f *facts) { f.events = append(f.events, e.Event) })
}

// look returns a copy of all that is known, in the order of the cast.
func (b *board) look() []facts {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := slices.Clone(b.facts)
	for i := range out {
		out[i].events = slices.Clone(out[i].events)
	}
	return out
}
