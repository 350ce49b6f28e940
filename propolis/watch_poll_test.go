package propolis

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

func (m *memory) wantGivenUp(t *testing.T, want int64) {
	t.Helper()
	if n := m.givenUp.Load(); n != want {
		t.Errorf("gave up %d calls, want %d", n, want)
	}
}

// A canceled poll costs a real server memory until its VM changes, so over many heartbeats
// there is only one poll.
func TestWatchKeepsItsPoll(t *testing.T) {
	t.Parallel()
	for _, from := range []uint64{0, 4} {
		inMemory(t, honest(3, StateRunning), func(t *testing.T, m *memory) {
			time.AfterFunc(59*time.Minute, func() { m.wantGivenUp(t, 0) })
			m.watch(t, from, WatchOptions{Heartbeat: 5 * time.Second}, time.Hour)
			m.wantAsked(t, 4)
			if n := m.polls.Load(); n < 720 {
				t.Errorf("%d calls in an hour", n)
			}
		})
	}
}

// Heartbeats that hang end with their budget. The poll goes on and returns what the server
// answers first afterwards.
func TestWatchKeepsItsPollInSilence(t *testing.T) {
	t.Parallel()
	inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		switch at := m.since(); {
		case gen == 0 && at > time.Minute && at < 10*time.Minute:
			hang(r)
		case gen > 3:
			time.Sleep(20*time.Minute - m.since())
			say(w, gen, StateDestroyed)
		default:
			say(w, 3, StateRunning)
		}
	}, func(t *testing.T, m *memory) {
		got, at := m.watch(t, 0, WatchOptions{}, time.Hour)
		if want := []string{"Running3", "silent", "back", "Destroyed4"}; !slices.Equal(got, want) || at[3] != 20*time.Minute {
			t.Errorf("got %q at %v, want %q, the last at 20m", got, at, want)
		}
		m.wantAsked(t, 4)
	})
}

// If the poll does not return a change, the next heartbeat does, and then the poll is
// repeated once.
func TestWatchLostAnswer(t *testing.T) {
	t.Parallel()
	inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		switch {
		case gen == 4:
			hang(r) // never answers
		case m.since() < 2*time.Minute:
			honest(3, StateRunning)(m, gen, w, r)
		default:
			honest(4, StateRebooting)(m, gen, w, r)
		}
	}, func(t *testing.T, m *memory) {
		time.AfterFunc(29*time.Minute, func() { m.wantGivenUp(t, 1) })
		got, at := m.watch(t, 0, WatchOptions{}, 30*time.Minute)
		if want := []string{"Running3", "Rebooting4"}; !slices.Equal(got, want) || at[1] > 150*time.Second {
			t.Errorf("got %q at %v, want %q within a heartbeat", got, at, want)
		}
		m.wantAsked(t, 4, 5)
	})
}

// A server that has lost its state reports an older generation, for which the poll for a
// newer one would wait forever.
func TestWatchServerFallsBack(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		gen   uint64
		state State
		want  []string
		polls []uint64
	}{
		{1, StateDestroyed, []string{"Running9", "Destroyed1"}, []uint64{10}},
		{0, StateCreating, []string{"Running9", "Creating0"}, []uint64{10, 1}},
		{8, StateRunning, []string{"Running9", "Running8"}, []uint64{10, 9}},
		{9, StateFailed, []string{"Running9", "Failed9"}, []uint64{10}},
		{1, StateStarting, []string{"Running9", "Starting1"}, []uint64{10, 2}},
	} {
		inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
			switch {
			case m.since() < 2*time.Minute:
				honest(9, StateRunning)(m, gen, w, r)
			default:
				honest(tc.gen, tc.state)(m, gen, w, r)
			}
		}, func(t *testing.T, m *memory) {
			time.AfterFunc(29*time.Minute, func() { m.wantGivenUp(t, int64(len(tc.polls)-1)) })
			got, at := m.watch(t, 0, WatchOptions{}, 30*time.Minute)
			if !slices.Equal(got, tc.want) || at[1] > 150*time.Second {
				t.Errorf("got %q at %v, want %q within a heartbeat", got, at, tc.want)
			}
			m.wantAsked(t, tc.polls...)
		})
	}
}

// An answer older than one already received is not reported, regardless of its call.
func TestWatchAnswersOvertake(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]func(gen uint64) bool{
		"heartbeat": func(gen uint64) bool { return gen == 0 },
		"poll":      func(gen uint64) bool { return gen == 4 },
	} {
		inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
			// The VM changes at 61 s, and from then on every second.
			const change = 61 * time.Second
			if gen == 4 {
				time.Sleep(change - m.since())
			}
			now := uint64(3)
			if at := m.since(); at >= change {
				now += 1 + uint64((at-change)/time.Second)
			}
			if gen > 4 {
				hang(r)
				return
			}
			if slow(gen) && m.since() > 50*time.Second {
				time.Sleep(5 * time.Second)
			}
			say(w, now, StateRunning)
		}, func(t *testing.T, m *memory) {
			got, _ := m.watch(t, 0, WatchOptions{Heartbeat: 2 * time.Second}, 90*time.Second)
			if len(got) < 3 || !slices.IsSortedFunc(got, func(a, b string) int { return len(a) - len(b) }) {
				t.Errorf("%s: got %q", name, got)
			}
			for i := 1; i < len(got); i++ {
				if len(got[i]) == len(got[i-1]) && got[i] <= got[i-1] {
					t.Errorf("%s: got %q, want generations that rise", name, got)
				}
			}
		})
	}
}

// Failing polls do not make a server silent that answers heartbeats. The heartbeats report
// the changes.
func TestWatchPollsThatFail(t *testing.T) {
	t.Parallel()
	inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, _ *http.Request) {
		now := 3 + uint64(m.since()/time.Minute)
		if gen > now {
			panic(http.ErrAbortHandler)
		}
		say(w, now, StateRunning)
	}, func(t *testing.T, m *memory) {
		got, at := m.watch(t, 0, WatchOptions{}, 150*time.Second)
		if want := []string{"Running3", "Running4", "Running5"}; !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if late := at[2] - 2*time.Minute; late > 6*time.Second {
			t.Errorf("the last came %v after the change, want at most a pause", late)
		}
	})
}

// Changes are reported while heartbeats hang.
func TestWatchNewsDoNotWaitForHeartbeats(t *testing.T) {
	t.Parallel()
	inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		switch {
		case gen == 0 && m.since() > 0:
			hang(r)
		case gen == 4:
			time.Sleep(32 * time.Second)
			say(w, 4, StateDestroyed)
		default:
			say(w, 3, StateRunning)
		}
	}, func(t *testing.T, m *memory) {
		got, at := m.watch(t, 0, WatchOptions{}, time.Hour)
		if want := []string{"Running3", "Destroyed4"}; !slices.Equal(got, want) || at[1] != 32*time.Second {
			t.Errorf("got %q at %v, want %q, the last at 32s", got, at, want)
		}
	})
}

// A poll whose answer is only late is not canceled, however often heartbeats show its
// result.
func TestWatchLateAnswer(t *testing.T) {
	t.Parallel()
	inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		const change, late = time.Minute, 900 * time.Millisecond
		if gen == 4 {
			time.Sleep(change + late - m.since())
		}
		if m.since() < change {
			honest(3, StateRunning)(m, gen, w, r)
			return
		}
		honest(4, StateRebooting)(m, gen, w, r)
	}, func(t *testing.T, m *memory) {
		time.AfterFunc(69*time.Second, func() { m.wantGivenUp(t, 0) })
		got, at := m.watch(t, 0, WatchOptions{Heartbeat: 250 * time.Millisecond}, 70*time.Second)
		if want := []string{"Running3", "Rebooting4"}; !slices.Equal(got, want) || at[1] > time.Minute+500*time.Millisecond {
			t.Errorf("got %q at %v, want %q, the last by a heartbeat", got, at, want)
		}
		m.wantAsked(t, 4, 5)
	})
}
