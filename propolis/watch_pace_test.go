package propolis

import (
	"math"
	"net/http"
	"testing"
	"time"
)

// No answers of a server make Watch call more than about once a second.
func TestWatchPace(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request){
		"error":  func(_ *memory, _ uint64, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"same":   func(_ *memory, _ uint64, w http.ResponseWriter, _ *http.Request) { say(w, 5, StateRunning) },
		"rising": func(_ *memory, gen uint64, w http.ResponseWriter, _ *http.Request) { say(w, gen+1, StateRunning) },
		"last": func(_ *memory, _ uint64, w http.ResponseWriter, _ *http.Request) {
			say(w, math.MaxUint64, StateRunning)
		},
		"falling": func(_ *memory, gen uint64, w http.ResponseWriter, _ *http.Request) {
			say(w, max(gen, 9)-2, StateRunning)
		},
		"up & down": func(m *memory, _ uint64, w http.ResponseWriter, _ *http.Request) {
			say(w, 5+uint64(m.polls.Load()%2), StateRunning)
		},
		"flapping": func(m *memory, _ uint64, w http.ResponseWriter, _ *http.Request) {
			say(w, 5, []State{StateRunning, StateMigrating}[m.polls.Load()%2])
		},
		"dead polls": func(m *memory, gen uint64, w http.ResponseWriter, _ *http.Request) {
			if gen > 5 {
				panic(http.ErrAbortHandler)
			}
			say(w, 5, StateRunning)
		},
		"refused": func(m *memory, _ uint64, w http.ResponseWriter, _ *http.Request) {
			m.refuse.Store(true)
			w.WriteHeader(500)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMemory(t, answer, func(t *testing.T, m *memory) {
				const d = 5 * time.Minute
				o := WatchOptions{RetryMin: time.Nanosecond, RetryMax: time.Nanosecond, GoneAfter: time.Hour}
				m.watch(t, 0, o, d)
				const most = burst + 1 + int64(d/paceInterval) + 2*int64(d/(30*time.Second))
				if n := m.polls.Load(); n > most || n < 40 {
					t.Errorf("%d polls in %v, want at most %d", n, d, most)
				}
			})
		})
	}
}

// With the default pauses, errors and repeated answers cause far fewer calls than the
// limit.
func TestWatchBacksOff(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"error": func(w http.ResponseWriter) { w.WriteHeader(500) },
		"stale": func(w http.ResponseWriter) { say(w, 5, StateRunning) },
		"last":  func(w http.ResponseWriter) { say(w, math.MaxUint64, StateRunning) },
	} {
		inMemory(t, func(_ *memory, _ uint64, w http.ResponseWriter, _ *http.Request) {
			answer(w)
		}, func(t *testing.T, m *memory) {
			m.watch(t, 0, WatchOptions{}, time.Hour)
			if n := m.polls.Load(); n < 3600/6 || n > 3600/3 {
				t.Errorf("%s: %d polls in an hour, want one in 3 to 6 s", name, n)
			}
		})
	}
}
