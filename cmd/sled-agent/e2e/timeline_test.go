package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sledagent/sledagent/agent/admin"
)

// A timeline is what the agent said happened to its VMMs, in order.
type timeline struct {
	mu     sync.Mutex
	vmms   map[uuid.UUID]*story
	lost   int
	cancel context.CancelFunc
	done   chan struct{}
}

// A story is one VMM's.
type story struct {
	events []admin.NamedEvent
	// more is closed when there are more events.
	more chan struct{}
}

func newTimeline() *timeline { return &timeline{vmms: map[uuid.UUID]*story{}} }

// follow begins to read an agent's events; stop ends it.
func (l *timeline) follow(from *admin.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		for e, err := range from.Events(ctx, admin.EventQuery{Past: 1000, Follow: true}) {
			if err != nil {
				return
			}
			l.add(e)
		}
	}()
}

func (l *timeline) stop() {
	if l.cancel != nil {
		l.cancel()
		<-l.done
	}
}

func (l *timeline) add(e admin.NamedEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost += e.Lost
	s := l.story(e.VMM)
	s.events = append(s.events, e)
	close(s.more)
	s.more = make(chan struct{})
}

func (l *timeline) story(id uuid.UUID) *story {
	s := l.vmms[id]
	if s == nil {
		s = &story{more: make(chan struct{})}
		l.vmms[id] = s
	}
	return s
}

// of returns one VMM's events and a channel that is closed when there are more.
func (l *timeline) of(id uuid.UUID) (events []admin.NamedEvent, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.story(id)
	return s.events[:len(s.events):len(s.events)], s.more
}

// await returns the VMM's first event that is the wanted one.
func (l *timeline) await(t *testing.T, id uuid.UUID, within time.Duration, what string,
	wanted func(admin.NamedEvent) bool) admin.NamedEvent {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		events, more := l.of(id)
		for _, e := range events {
			if wanted(e) {
				return e
			}
		}
		select {
		case <-more:
		case <-deadline.C:
			t.Fatalf("no event %s of VMM %s within %v; there were%s", what, id, within, listed(events))
		}
	}
}

// listed writes events one a line.
func listed(events []admin.NamedEvent) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n  %s %s %s %s", e.At.Format("05.000"), e.Kind, e.Text, e.Error)
	}
	return b.String()
}

// count tells how many events of a kind a VMM has had so far.
func (v *vm) count(kind string) (n int) {
	events, _ := v.l.past.of(v.id)
	for _, e := range events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}
