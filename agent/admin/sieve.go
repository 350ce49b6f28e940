package admin

import (
	"github.com/google/uuid"
)

// A sieve lets through a stream's live events that were asked for and were not
// sent among the past ones.
type sieve struct {
	vmm uuid.UUID
	// sent are the past events that may come once more, since the stream
	// subscribed before it looked back.
	sent map[eventKey]struct{}
	// lost is what was lost before events that were not let through: it must
	// still be told.
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

func newSieve(vmm uuid.UUID, past []NamedEvent) *sieve {
	s := &sieve{vmm: vmm, sent: make(map[eventKey]struct{}, len(past))}
	for _, e := range past {
		s.sent[keyOf(e)] = struct{}{}
	}
	return s
}

// pass tells whether e is to be sent, and sets what was lost before it.
func (s *sieve) pass(e *NamedEvent) bool {
	s.lost += e.Lost
	if s.vmm != uuid.Nil && e.VMM != s.vmm {
		return false
	}
	if _, twice := s.sent[keyOf(*e)]; twice {
		delete(s.sent, keyOf(*e))
		return false
	}
	e.Lost, s.lost = s.lost, 0
	return true
}
