package publish

import (
	"container/list"
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/vmm"
)

// An offer is one record on its way to Nexus.
type offer struct {
	gen    uint64
	state  vmm.WireState
	body   []byte
	notify func(Result)
	since  time.Time
	// deadline is when a terminal record is given up.
	deadline time.Time
	attempts int
	// gone counts the answers that said Nexus knows no such VMM.
	gone int
	// refusal is the refusing status that was logged last.
	refusal int
	// settled: acknowledged, given up or dropped; it is not sent again.
	settled bool
}

func (o *offer) terminal() bool { return o.state.Terminal() }

func (o *offer) expired(now time.Time) bool { return o.terminal() && !now.Before(o.deadline) }

// A slot is what the publisher knows of one VMM. Guarded by Publisher.mu.
type slot struct {
	id      uuid.UUID
	newest  *offer // nil: dropped, the slot only stays until its round ends
	sending *offer // the offer whose PUT is under way
	cancel  context.CancelFunc
	acked   uint64
	err     error // of the last try; nil after an acknowledgement

	// retry is nil while the last try was acknowledged.
	retry     backoff.BackOff
	notBefore time.Time
	// shift counts the refusals since the last acknowledgement: each makes the
	// next round begin one replica further.
	shift int

	busy bool          // a round is under way
	idle chan struct{} // closed when busy ends

	due   time.Time
	seq   uint64 // order among equal dues
	index int    // in the heap; -1: not there

	deadline, over *list.Element
}

func newSlot(id uuid.UUID) *slot { return &slot{id: id, index: -1} }

// forget leaves of a slot what its round needs to find its end.
func (s *slot) forget() {
	*s = slot{id: s.id, busy: s.busy, idle: s.idle, index: -1}
}

func (s *slot) waiting() bool { return s.newest != nil && !s.newest.settled }

// dueHeap orders slots by when they are due and, among equals, by when they
// were put there: a queue that is fair to all once they are due.
type dueHeap []*slot

func (h dueHeap) Len() int { return len(h) }

func (h dueHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].seq < h[j].seq
}

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	s := x.(*slot)
	s.index = len(*h)
	*h = append(*h, s)
}

func (h *dueHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.index = -1
	return s
}
