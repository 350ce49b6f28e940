package propolis

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

func TestWatchReportsEachGenerationOnce(t *testing.T) {
	t.Parallel()
	states := []State{StateCreating, StateStarting, StateRunning, StateStopping, StateStopped, StateDestroyed}
	var asked []uint64
	inMemory(t, func(_ *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		asked = append(asked, gen)
		say(w, max(gen, 1), states[max(gen, 1)-1])
	}, func(t *testing.T, m *memory) {
		got, _ := m.watch(t, 0, WatchOptions{}, time.Hour)
		want := []string{"Creating1", "Starting2", "Running3", "Stopping4", "Stopped5", "Destroyed6"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if want := []uint64{0, 2, 3, 4, 5, 6}; !slices.Equal(asked, want) {
			t.Errorf("asked for %d, want %d", asked, want)
		}
	})
}

func TestWatchPassesAMigrationWithoutDelay(t *testing.T) {
	t.Parallel()
	inMemory(t, func(_ *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		if gen < 16 {
			say(w, max(gen, 1), StateMigrating)
			return
		}
		say(w, 16, StateFailed)
	}, func(t *testing.T, m *memory) {
		got, at := m.watch(t, 0, WatchOptions{}, time.Hour)
		if len(got) != 16 || got[15] != "Failed16" {
			t.Errorf("got %q, want 15 generations and Failed", got)
		}
		if at[15] != 0 {
			t.Errorf("the last one came after %v, want no delay", at[15])
		}
	})
}

// TestWatchQuietVM: nothing is reported of a healthy VM whose state does not
// change, whether the watch began by asking for its state or knew it.
func TestWatchQuietVM(t *testing.T) {
	t.Parallel()
	for from, want := range map[uint64][]string{0: {"Running3"}, 4: nil, 2: {"Running3"}} {
		inMemory(t, honest(3, StateRunning), func(t *testing.T, m *memory) {
			got, _ := m.watch(t, from, WatchOptions{}, time.Hour)
			if !slices.Equal(got, want) {
				t.Errorf("from %d: got %q, want %q", from, got, want)
			}
			// Two polls each Heartbeat of 27 to 30 s.
			if n := m.polls.Load(); n < 200 || n > 300 {
				t.Errorf("from %d: %d polls in an hour", from, n)
			}
		})
	}
}

// TestWatchHeartbeatFindsNews: a server that loses its long polls, or goes back
// to an older generation, is found out by the next probe.
func TestWatchHeartbeatFindsNews(t *testing.T) {
	t.Parallel()
	for gen, want := range map[uint64]string{7: "Stopping7", 1: "Stopping1"} {
		inMemory(t, func(m *memory, asked uint64, w http.ResponseWriter, r *http.Request) {
			switch {
			case m.since() < 10*time.Second && asked <= 3:
				say(w, 3, StateRunning)
			case m.since() < 10*time.Second || asked > 3:
				hang(r)
			default:
				say(w, gen, StateStopping)
			}
		}, func(t *testing.T, m *memory) {
			got, at := m.watch(t, 0, WatchOptions{}, time.Minute)
			if len(got) < 2 || got[1] != want || at[1] > 31*time.Second {
				t.Errorf("got %q at %v, want %s after a heartbeat", got, at, want)
			}
		})
	}
}

// TestWatchSilence: each way to be of no use is reported once, and taken back once.
func TestWatchSilence(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request){
		"hang":        func(_ http.ResponseWriter, r *http.Request) { hang(r) },
		"500":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"503":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"400":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400) },
		"garbage":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "garbage") },
		"wrong state": func(w http.ResponseWriter, _ *http.Request) { say(w, 9, "Exploded") },
		"cut off":     func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"half a body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "{")
		},
		"409": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(409)
			io.WriteString(w, `{"error_code":"AlreadyInitialized"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
				if at := m.since(); at > 90*time.Second && at < 10*time.Minute {
					fault(w, r)
					return
				}
				honest(3, StateRunning)(m, gen, w, r)
			}, func(t *testing.T, m *memory) {
				got, at := m.watch(t, 0, WatchOptions{}, time.Hour)
				if want := []string{"Running3", "silent", "back"}; !slices.Equal(got, want) {
					t.Fatalf("got %q, want %q", got, want)
				}
				if silent := at[1]; silent < 90*time.Second || silent > 140*time.Second {
					t.Errorf("silent at %v, want within a heartbeat and a poll budget of 90s", silent)
				}
				if back := at[2] - 10*time.Minute; back < 0 || back > 15*time.Second {
					t.Errorf("back %v after the server, want within the longest pause", back)
				}
			})
		})
	}
}

// TestWatchNewsAfterSilence: first that it answers again, then what it says.
func TestWatchNewsAfterSilence(t *testing.T) {
	t.Parallel()
	inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		if m.since() < time.Minute {
			w.WriteHeader(500)
			return
		}
		honest(4, StateDestroyed)(m, gen, w, r)
	}, func(t *testing.T, m *memory) {
		got, at := m.watch(t, 0, WatchOptions{}, time.Hour)
		if want := []string{"silent", "back", "Destroyed4"}; !slices.Equal(got, want) || at[0] != 0 {
			t.Errorf("got %q at %v, want %q, the first one at once", got, at, want)
		}
	})
}

func TestWatchGone(t *testing.T) {
	t.Parallel()
	inMemory(t, honest(3, StateRunning), func(t *testing.T, m *memory) {
		m.refuse.Store(true)
		got, at := m.watch(t, 4, WatchOptions{}, time.Hour)
		if want := []string{"silent", "gone"}; !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if at[1] < time.Minute || at[1] > 70*time.Second {
			t.Errorf("gone at %v, want GoneAfter", at[1])
		}
	})
}

// TestWatchOneConnectionResetsGone: one connection in the middle, even one
// that brings nothing, starts the count again.
func TestWatchOneConnectionResetsGone(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 500} {
		inMemory(t, func(m *memory, _ uint64, w http.ResponseWriter, r *http.Request) {
			m.refuse.Store(true)
			w.Header().Set("Connection", "close")
			if status == 200 {
				say(w, 3, StateRunning)
			} else {
				w.WriteHeader(status)
			}
		}, func(t *testing.T, m *memory) {
			m.refuse.Store(true)
			accepts := time.AfterFunc(50*time.Second, func() { m.refuse.Store(false) })
			defer accepts.Stop()
			got, at := m.watch(t, 4, WatchOptions{}, time.Hour)
			if last := len(got) - 1; got[last] != "gone" || at[last] < 110*time.Second || at[last] > 130*time.Second {
				t.Errorf("got %q at %v, want gone a minute after the last connection", got, at)
			}
		})
	}
}

func TestRefusalsDoNotCountUnwatchedTime(t *testing.T) {
	t.Parallel()
	var r refusals
	now := time.Unix(0, 0)
	for _, step := range []struct{ after, want time.Duration }{
		{0, 0}, {5 * time.Second, 5 * time.Second}, {time.Hour, 20 * time.Second}, {time.Second, 21 * time.Second},
	} {
		now = now.Add(step.after)
		if got := r.note(now, 15*time.Second); got != step.want {
			t.Errorf("after another %v: %v, want %v", step.after, got, step.want)
		}
	}
}

func TestWatchNoInstance(t *testing.T) {
	t.Parallel()
	for _, status := range []int{410, 424} {
		inMemory(t, func(_ *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
			if gen == 0 {
				say(w, 3, StateRunning)
				return
			}
			w.WriteHeader(status)
			io.WriteString(w, `{"request_id":"r","error_code":"NoInstance","message":"no"}`)
		}, func(t *testing.T, m *memory) {
			got, _ := m.watch(t, 0, WatchOptions{}, time.Hour)
			if want := []string{"Running3", "no instance"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWatchFollowsGenerationsBackwards(t *testing.T) {
	t.Parallel()
	var asked []uint64
	inMemory(t, func(_ *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		asked = append(asked, gen)
		switch gen {
		case 9:
			say(w, 9, StateRunning)
		case 10:
			say(w, 2, StateStarting)
		default:
			say(w, 3, StateFailed)
		}
	}, func(t *testing.T, m *memory) {
		got, _ := m.watch(t, 9, WatchOptions{}, time.Hour)
		if want := []string{"Running9", "Starting2", "Failed3"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if want := []uint64{9, 10, 3}; !slices.Equal(asked, want) {
			t.Errorf("asked for %d, want %d", asked, want)
		}
	})
}

func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Duration{"before it begins": 0, "in a poll": 5 * time.Second, "in a pause": 61 * time.Second} {
		inMemory(t, func(m *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
			if m.since() > 40*time.Second {
				w.WriteHeader(500)
				return
			}
			honest(3, StateRunning)(m, gen, w, r)
		}, func(t *testing.T, m *memory) {
			ctx, cancel := context.WithCancel(t.Context())
			if at == 0 {
				cancel()
			}
			defer time.AfterFunc(at, cancel).Stop()
			m.client.Watch(ctx, 0, WatchOptions{RetryMin: time.Minute}, func(e WatchEvent) {
				if ctx.Err() != nil {
					t.Errorf("%s: event %+v after the end", name, e)
				}
			})
			if m.since() != at {
				t.Errorf("%s: returned at %v, want %v", name, m.since(), at)
			}
		})
	}
}

// TestWatchEndsInAProbe: the end of the watch is not taken for silence.
func TestWatchEndsInAProbe(t *testing.T) {
	t.Parallel()
	inMemory(t, func(_ *memory, _ uint64, _ http.ResponseWriter, r *http.Request) { hang(r) },
		func(t *testing.T, m *memory) {
			if got, _ := m.watch(t, 0, WatchOptions{}, 5*time.Second); got != nil {
				t.Errorf("got %q, want nothing", got)
			}
		})
}

func TestWatchOptionsDefaults(t *testing.T) {
	t.Parallel()
	want := WatchOptions{30 * time.Second, 10 * time.Second, time.Minute, time.Second, 5 * time.Second}
	for _, o := range []WatchOptions{{}, {-1, -1, -1, -1, -1}} {
		if got := o.withDefaults(); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := (WatchOptions{RetryMin: time.Hour}).withDefaults().RetryMax; got != time.Hour {
		t.Errorf("RetryMax is %v, below RetryMin", got)
	}
	o := WatchOptions{RetryMin: 2 * time.Second, RetryMax: 3 * time.Second}.withDefaults()
	w := newWatcher(nil, 0, o, nil)
	for range 100 {
		if d := w.backOff(); d < o.RetryMin || d > o.RetryMax {
			t.Fatal(fmt.Errorf("a pause of %v is outside %v to %v", d, o.RetryMin, o.RetryMax))
		}
		if d := o.heartbeat(); d > o.Heartbeat || d < o.Heartbeat*9/10 {
			t.Fatal(fmt.Errorf("a heartbeat of %v for %v", d, o.Heartbeat))
		}
	}
}
