package admin_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"testing"
	"time"

	"github.com/sledagent/sledagent/agent/admin"
	"github.com/sledagent/sledagent/agent/admin/admintest"
	"github.com/sledagent/sledagent/agent/vmm"
)

func event(n int) vmm.Event {
	return vmm.Event{At: time.Unix(int64(n), 0).UTC(), Kind: "test", Text: fmt.Sprint(n)}
}

// reader reads a stream one event at a time.
type reader struct {
	t    *testing.T
	next func() (admin.NamedEvent, error, bool)
}

func (s *served) stream(ctx context.Context, q admin.EventQuery) *reader {
	next, stop := iter.Pull2(s.Events(ctx, q))
	s.t.Cleanup(stop)
	return &reader{s.t, next}
}

func (r *reader) want(text string) admin.NamedEvent {
	r.t.Helper()
	e, err, more := r.next()
	if !more || err != nil || e.Text != text {
		r.t.Fatalf("got %+v, %v, %t; want %q", e, err, more, text)
	}
	return e
}

func (r *reader) end() {
	r.t.Helper()
	if e, err, more := r.next(); more {
		r.t.Fatalf("got %+v, %v; want the end", e, err)
	}
}

func TestPastEventsAreMergedByTime(t *testing.T) {
	t.Parallel()
	a, b := status(1), status(2)
	a.Events, b.Events = []vmm.Event{event(1), event(4)}, []vmm.Event{event(2), event(3)}
	s := serve(t, admintest.New(admin.About{}, a, b))
	r := s.stream(t.Context(), admin.EventQuery{Past: 3})
	r.want("2")
	r.want("3")
	if e := r.want("4"); e.VMM != id(1) {
		t.Errorf("event 4 is of %s", e.VMM)
	}
	r.end()
	r = s.stream(t.Context(), admin.EventQuery{Past: 9, VMM: id(2)})
	r.want("2")
	r.want("3")
	r.end()
}

// overlapping is an agent with events between the subscription and the read of past
// events, so that they occur in both.
type overlapping struct {
	*admintest.Agent
	happens []vmm.Event
}

func (o overlapping) Subscribe(n int) (<-chan admin.NamedEvent, func()) {
	events, cancel := o.Agent.Subscribe(n)
	for _, e := range o.happens {
		o.Emit(id(1), e)
	}
	return events, cancel
}

func TestNoEventComesTwiceOrFallsBetween(t *testing.T) {
	t.Parallel()
	a := status(1)
	a.Events = []vmm.Event{event(1)}
	agent := overlapping{admintest.New(admin.About{}, a), []vmm.Event{event(2), event(3)}}
	r := serve(t, agent).stream(t.Context(), admin.EventQuery{Past: 10, Follow: true})
	r.want("1")
	r.want("2")
	r.want("3")
	agent.Emit(id(1), event(4))
	r.want("4")
}

func TestFollowOneVMM(t *testing.T) {
	t.Parallel()
	a := status(1)
	a.Events = []vmm.Event{event(1)}
	agent := admintest.New(admin.About{}, a, status(2))
	r := serve(t, agent).stream(t.Context(), admin.EventQuery{Past: 1, Follow: true, VMM: id(1)})
	r.want("1")
	agent.Emit(id(2), event(2))
	agent.Emit(id(1), event(3))
	r.want("3")
}

// losing is an agent whose subscription is filled by the test.
type losing struct {
	*admintest.Agent
	events chan admin.NamedEvent
}

func (l losing) Subscribe(int) (<-chan admin.NamedEvent, func()) { return l.events, func() {} }

func TestLostCountIncludesFilteredEvents(t *testing.T) {
	t.Parallel()
	agent := losing{admintest.New(admin.About{}, status(1)), make(chan admin.NamedEvent, 3)}
	agent.events <- admin.NamedEvent{VMM: id(2), Event: event(1), Lost: 5}
	agent.events <- admin.NamedEvent{VMM: id(1), Event: event(2), Lost: 2}
	agent.events <- admin.NamedEvent{VMM: id(1), Event: event(3)}
	close(agent.events)
	r := serve(t, agent).stream(t.Context(), admin.EventQuery{Follow: true, VMM: id(1)})
	if e := r.want("2"); e.Lost != 7 {
		t.Errorf("lost %d, want 7", e.Lost)
	}
	if e := r.want("3"); e.Lost != 0 {
		t.Errorf("then lost %d, want 0", e.Lost)
	}
	r.end()
}

// A stalled reader does not slow the agent down, and learns how many events it missed.
func TestSlowReaderReceivesLostCount(t *testing.T) {
	t.Parallel()
	a := status(1)
	a.Events = []vmm.Event{event(0)}
	agent := admintest.New(admin.About{}, a)
	r := serve(t, agent).stream(t.Context(), admin.EventQuery{Past: 1, Follow: true})
	r.want("0")
	agent.Forget(id(1)) // so that Emit does not store the events
	const many = 50_000 // more than the buffer and the socket hold
	for n := 1; n <= many; n++ {
		agent.Emit(id(1), event(n))
	}
	seen := 0
	for n := many + 1; n <= 2*many; n++ {
		agent.Emit(id(1), event(n))
		e, err, _ := r.next()
		if seen += e.Lost + 1; err != nil || e.Text != fmt.Sprint(seen) {
			t.Fatalf("got %+v, %v after %d were received or lost", e, err, seen-1)
		}
		if e.Lost > 0 {
			return
		}
	}
	t.Fatal("nothing was lost")
}

func TestTooManyStreams(t *testing.T) {
	t.Parallel()
	a := status(1)
	a.Events = []vmm.Event{event(1)}
	agent := admintest.New(admin.About{}, a)
	s := serve(t, agent)
	follow := admin.EventQuery{Past: 1, Follow: true}
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for range 16 {
		s.stream(ctx, follow).want("1")
	}
	_, err, _ := s.stream(t.Context(), follow).next()
	var refused *admin.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable {
		t.Fatalf("17th stream: %v", err)
	}
	if _, err := s.List(t.Context()); err != nil {
		t.Errorf("beside 16 streams: %v", err)
	}
	leave()
	// The server notices asynchronously that its readers have disconnected.
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if _, err, _ := s.stream(t.Context(), follow).next(); err == nil {
			return
		}
	}
	t.Fatal("the streams' slots are not freed")
}

func TestShutdownEndsStreams(t *testing.T) {
	t.Parallel()
	a := status(1)
	a.Events = []vmm.Event{event(1)}
	s := serve(t, admintest.New(admin.About{}, a))
	r := s.stream(t.Context(), admin.EventQuery{Past: 1, Follow: true})
	r.want("1")
	s.stop()
	r.end()
}
