package propolis

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestWatchReportsEachGenerationOnce(t *testing.T) {
	t.Parallel()
	states := []State{StateCreating, StateStarting, StateRunning, StateStopping, StateStopped, StateDestroyed}
	inMemory(t, func(_ *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		say(w, max(gen, 1), states[max(gen, 1)-1])
	}, func(t *testing.T, m *memory) {
		got, _ := m.watch(t, 0, WatchOptions{}, time.Hour)
		want := []string{"Creating1", "Starting2", "Running3", "Stopping4", "Stopped5", "Destroyed6"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		m.wantAsked(t, 2, 3, 4, 5, 6)
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

// For a healthy VM without changes nothing is reported after its state, if that was
// requested.
func TestWatchQuietVM(t *testing.T) {
	t.Parallel()
	for from, want := range map[uint64][]string{0: {"Running3"}, 4: nil, 2: {"Running3"}} {
		inMemory(t, honest(3, StateRunning), func(t *testing.T, m *memory) {
			got, _ := m.watch(t, from, WatchOptions{}, time.Hour)
			if !slices.Equal(got, want) {
				t.Errorf("from %d: got %q, want %q", from, got, want)
			}
			// One call each Heartbeat of 27 to 30 s, and the poll.
			if n := m.polls.Load(); n < 120 || n > 140 {
				t.Errorf("from %d: %d calls in an hour", from, n)
			}
		})
	}
}

// Each kind of useless server is reported silent once, and as answering again once.
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

// After silence, the first event is that the server answers again, then its state.
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

// A single accepted connection, even one without an answer, restarts the count.
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

// Errors that keep this host from connecting do not prove that the server is gone. They
// never end the watch, and they restart the count of refusals.
func TestWatchTroublesResetGone(t *testing.T) {
	t.Parallel()
	for _, no := range append(localTroubles, syscall.ETIMEDOUT) {
		inMemory(t, honest(3, StateRunning), func(t *testing.T, m *memory) {
			m.trouble.Store(int64(no))
			time.AfterFunc(5*time.Minute, func() { m.trouble.Store(0); m.refuse.Store(true) })
			time.AfterFunc(350*time.Second, func() { m.refuse.Store(false); m.trouble.Store(int64(no)) })
			time.AfterFunc(357*time.Second, func() { m.trouble.Store(0); m.refuse.Store(true) })
			got, at := m.watch(t, 4, WatchOptions{}, time.Hour)
			if want := []string{"silent", "gone"}; !slices.Equal(got, want) || at[1] < 410*time.Second {
				t.Errorf("%v: got %q at %v, want gone a minute after the last other error", no, got, at)
			}
		})
	}
}

// Statuses and bodies that are not the API's end nothing.
func TestWatchForeignAnswers(t *testing.T) {
	t.Parallel()
	const whole = `{"request_id":"r","error_code":"NoInstance","message":"no"}`
	for status, bodies := range map[int][]string{
		404: {"", "<html>", whole}, 410: {"", `{"error_code":"NoInstance"}`, `{"request_id":"r","error_code":"Gone","message":"no"}`},
		424: {"", `{"message":"no"}`, `{"request_id":"r","message":"no"}`, whole + whole},
		500: {whole}, 503: {whole}, 200: {whole, `{"gen":9,"state":"Destroyed"}`}, 400: {whole},
	} {
		for _, body := range bodies {
			inMemory(t, func(_ *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				io.WriteString(w, body)
			}, func(t *testing.T, m *memory) {
				if got, _ := m.watch(t, 0, WatchOptions{}, 3*time.Minute); !slices.Equal(got, []string{"silent"}) {
					t.Errorf("%d %s: got %q, want silence", status, body, got)
				}
			})
		}
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
	inMemory(t, func(_ *memory, gen uint64, w http.ResponseWriter, r *http.Request) {
		switch gen {
		case 0:
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
		m.wantAsked(t, 10, 3)
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

// The end of the watch is not reported as silence.
func TestWatchEndsInAHeartbeat(t *testing.T) {
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
