package illumos

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sledagent/sledagent/zone"
	"github.com/sledagent/sledagent/zone/illumos/internal/parse"
)

// fakeHost is what lists say, without any command.
type fakeHost struct {
	mu    sync.Mutex
	zones map[string]parse.Zone
	err   error
	lists int
}

func (h *fakeHost) set(name string, id int, s zone.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.zones[name] = parse.Zone{ID: id, Name: name, State: s}
}

func (h *fakeHost) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

func (h *fakeHost) list() (listing, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists++
	l := listing{zones: make(map[string]parse.Zone)}
	for name, z := range h.zones {
		l.zones[name] = z
	}
	return l, h.err
}

// watching runs a test in a bubble with a manager that only looks.
func watching(t *testing.T, test func(*testing.T, *Manager, *fakeHost)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &fakeHost{zones: make(map[string]parse.Zone)}
		m := &Manager{}
		m.life, m.end = context.WithCancel(t.Context())
		m.zones.run = h.list
		m.watches.byID = make(map[*watch]struct{})
		test(t, m, h)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
}

// told gathers ends.
type told chan string

func (c told) of(name string) func(zone.End) {
	return func(e zone.End) { c <- name + ": " + e.How }
}

func (c told) all() []string {
	synctest.Wait()
	var ends []string
	for len(c) > 0 {
		ends = append(ends, <-c)
	}
	return ends
}

func TestWatchTellsOnce(t *testing.T) {
	for _, end := range []struct {
		state zone.State
		id    int
		how   string
	}{
		{zone.ShuttingDown, 7, "zone is shutting_down"},
		{zone.Down, 7, "zone is down"},
		{zone.Installed, -1, "zone is installed"},
		{zone.Absent, -1, "zone is gone"},
		{zone.Running, 8, "zone has rebooted"},
	} {
		t.Run(end.how, func(t *testing.T) {
			watching(t, func(t *testing.T, m *Manager, h *fakeHost) {
				h.set("a", 7, zone.Running)
				ends := make(told, 8)
				stop := m.Watch("a", ends.of("a"))
				time.Sleep(10 * watchEvery)
				if got := ends.all(); len(got) > 0 {
					t.Errorf("told %v of a zone that runs", got)
				}
				h.set("a", end.id, end.state)
				time.Sleep(10 * watchEvery)
				if diff := cmp.Diff([]string{"a: " + end.how}, ends.all()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				stop()
			})
		})
	}
}

// A zone that came up while it was listed can be listed without an id.
func TestWatchOfBootWithoutID(t *testing.T) {
	watching(t, func(t *testing.T, m *Manager, h *fakeHost) {
		h.set("a", -1, zone.Running)
		ends := make(told, 8)
		m.Watch("a", ends.of("a"))
		synctest.Wait()
		h.set("a", 7, zone.Running)
		time.Sleep(2 * watchEvery)
		if got := ends.all(); len(got) > 0 {
			t.Errorf("told %v of a zone that runs", got)
		}
		h.set("a", 8, zone.Running)
		time.Sleep(2 * watchEvery)
		if diff := cmp.Diff([]string{"a: zone has rebooted"}, ends.all()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWatchOfWhatDoesNotRun(t *testing.T) {
	watching(t, func(t *testing.T, m *Manager, h *fakeHost) {
		ends := make(told, 8)
		m.Watch("nobody", ends.of("nobody"))
		if diff := cmp.Diff([]string{"nobody: zone is gone"}, ends.all()); diff != "" {
			t.Errorf("at once (-want +got):\n%s", diff)
		}
	})
}

func TestWatchSurvivesFailedLists(t *testing.T) {
	watching(t, func(t *testing.T, m *Manager, h *fakeHost) {
		h.set("a", 7, zone.Running)
		ends := make(told, 8)
		m.Watch("a", ends.of("a"))
		synctest.Wait()
		h.fail(errors.New("no list today"))
		time.Sleep(10 * watchEvery)
		if got := ends.all(); len(got) > 0 {
			t.Errorf("told %v though nothing could be seen", got)
		}
		h.set("a", 7, zone.Down)
		h.fail(nil)
		time.Sleep(2 * watchEvery)
		if diff := cmp.Diff([]string{"a: zone is down"}, ends.all()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestStoppedWatchIsToldNothing(t *testing.T) {
	watching(t, func(t *testing.T, m *Manager, h *fakeHost) {
		h.set("a", 7, zone.Running)
		ends := make(told, 8)
		stop := m.Watch("a", ends.of("a"))
		synctest.Wait()
		stop()
		stop()
		h.set("a", 7, zone.Down)
		time.Sleep(10 * watchEvery)
		if got := ends.all(); len(got) > 0 {
			t.Errorf("told %v after stop", got)
		}
		if m.watches.polling {
			t.Error("it polls for nobody")
		}
	})
}

// However many are watched, one list serves them, and none runs when none is.
func TestWatchesShareOnePoller(t *testing.T) {
	watching(t, func(t *testing.T, m *Manager, h *fakeHost) {
		h.set("a", 7, zone.Running)
		ends := make(told, 1000)
		for range 1000 {
			m.Watch("a", ends.of("a"))
		}
		synctest.Wait()
		h.mu.Lock()
		h.lists = 0
		h.mu.Unlock()
		time.Sleep(10*watchEvery + watchEvery/2)
		h.mu.Lock()
		if h.lists > 11 {
			t.Errorf("%d lists in %s", h.lists, 10*watchEvery)
		}
		h.mu.Unlock()
		h.set("a", -1, zone.Installed)
		time.Sleep(2 * watchEvery)
		if n := len(ends.all()); n != 1000 {
			t.Errorf("%d of 1000 were told", n)
		}
		stop := m.Watch("a", ends.of("a")) // a poller that has ended begins again
		if n := len(ends.all()); n != 1 {
			t.Errorf("%d of 1 were told", n)
		}
		stop()
	})
}
