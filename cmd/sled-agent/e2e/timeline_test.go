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
	mu      sync.Mutex
	events  []admin.NamedEvent
	changed chan struct{}
	cancel  context.CancelFunc
	done    chan struct{}
}

func newTimeline() *timeline { return &timeline{changed: make(chan struct{})} }

// follow begins to read an agent's events; stop ends it.
func (l *timeline) follow(t *testing.T, from *admin.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel, l.done = cancel, make(chan struct{})
	go func() {
		defer close(l.done)
		for e, err := range from.Events(ctx, admin.EventQuery{Past: 1000, Follow: true}) {
			if err != nil {
				return
			}
			if e.Lost > 0 {
				t.Errorf("%d events were lost", e.Lost)
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
	l.events = append(l.events, e)
	close(l.changed)
	l.changed = make(chan struct{})
}

// of returns one VMM's events and a channel that is closed when there are more
// events of any.
func (l *timeline) of(id uuid.UUID) (events []admin.NamedEvent, more <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.VMM == id {
			events = append(events, e)
		}
	}
	return events, l.changed
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
