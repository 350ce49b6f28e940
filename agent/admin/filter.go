package admin

import (
	"github.com/google/uuid"
)

// A filter selects a stream's live events: those that match the query and were not
// already sent as past events.
type filter struct {
	vmm uuid.UUID
	// sent are the past events that may occur again, since the stream subscribed
	// before it read the past ones.
	sent map[eventKey]struct{}
	// lost is the number of events lost before ones that were filtered out; it is added
	// to the next event sent.
	lost int
}

type eventKey struct {
	vmm        uuid.UUID
	at         int64
	kind, text string
}

func keyOf(e NamedEvent) eventKey {
	return eventKey{vmm: e.VMM, at: e.At.UnixNano(), kind: e.Kind, text: e.Text}
}

func newFilter(vmm uuid.UUID, past []NamedEvent) *filter {
	f := &filter{vmm: vmm, sent: make(map[eventKey]struct{}, len(past))}
	for _, e := range past {
		f.sent[keyOf(e)] = struct{}{}
	}
	return f
}

// pass reports whether to send e, and sets e.Lost.
func (f *filter) pass(e *NamedEvent) bool {
	f.lost += e.Lost
	if f.vmm != uuid.Nil && e.VMM != f.vmm {
		return false
	}
	if _, twice := f.sent[keyOf(*e)]; twice {
		delete(f.sent, keyOf(*e))
		return false
	}
	e.Lost, f.lost = f.lost, 0
	return true
}
