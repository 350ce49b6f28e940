package admin

import "sync"

// A Bus distributes events to its subscribers. Its zero value is ready. Its methods are
// safe for concurrent use and never wait for a subscriber.
type Bus struct {
	mu   sync.Mutex
	subs map[*subscription]struct{}
}

// subscription is one subscriber; lost is guarded by the Bus's mu.
type subscription struct {
	events chan NamedEvent
	lost   int
}

// Publish sends e to every subscriber with free buffer space and counts it as lost for
// the others.
func (b *Bus) Publish(e NamedEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		e.Lost = s.lost
		select {
		case s.events <- e:
			s.lost = 0
		default:
			s.lost++
		}
	}
}

// Subscribe adds a subscriber with a buffer of at least one event; see Agent.Subscribe.
// cancel closes the channel.
func (b *Bus) Subscribe(buffer int) (events <-chan NamedEvent, cancel func()) {
	s := &subscription{events: make(chan NamedEvent, max(buffer, 1))}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subs == nil {
		b.subs = make(map[*subscription]struct{})
	}
	b.subs[s] = struct{}{}
	return s.events, func() { b.drop(s) }
}

func (b *Bus) drop(s *subscription) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there := b.subs[s]; there {
		delete(b.subs, s)
		close(s.events)
	}
}
